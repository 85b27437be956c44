"""What every case works with: the client under test, a real service, a scripted one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from upscaler.conformance.case import CaseSkipped, require
from upscaler.conformance.expected import Asked, Expected
from upscaler.conformance.link import Link
from upscaler.conformance.scripted import MESSAGE_S, ScriptedService
from upscaler.conformance.subject import Subject
from upscaler.control import Control
from upscaler.service.process import ServiceProcess
from upscaler.shared_memory import PREFIX

TIDY_S = 10.0
"""How long a service may take to free what a client has left."""


class Kit:
    """For the length of a `with` block; services start when a case first needs them."""

    def __init__(
        self, link: Link, *, engine: str = "auto", service: ServiceProcess | None = None
    ) -> None:
        """`engine` runs the networks, both in the service and for what is expected of it.

        `service` is one that runs already, and is left running.
        """
        self.subject = Subject(link)
        self.expected = Expected(engine)
        self._engine = engine
        self._message_s = min(MESSAGE_S, link.answer_s)
        self._service = service
        self._started = False
        self._scripted = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.subject.stop()
        self.end_case()
        if self._service is not None and self._started:
            self._service.close()
        self.expected.close()

    @property
    def service(self) -> ServiceProcess:
        """A real service, which cases leave as it was."""
        if self._service is None or not self._service.running:
            if self._service is not None and self._started:
                self._service.close()
            self._service = ServiceProcess(["--engine", self._engine])
            self._started = True
        return self._service

    def open(self, asked: Asked) -> Subject:
        """Open a session with the real service."""
        self.subject.must_open(self.service.endpoint, asked)
        return self.subject

    def script(self, asked: Asked) -> ScriptedService:
        """Return a scripted service, which ends with the case."""
        return self._scripted.enter_context(
            ScriptedService(asked, self.expected, message_s=self._message_s)
        )

    def open_scripted(
        self, asked: Asked, *, change: Callable[[bytes], bytes] = bytes, granted: int = 0
    ) -> tuple[Subject, ScriptedService]:
        """Open a session with a scripted service that has said nothing untrue so far.

        `change` is made to the bytes of its welcome, `granted` are its credits, where not 0.
        """
        service = self.script(asked)
        self.subject.start_open(service.endpoint, asked)
        hello = service.hello()
        service.welcome(hello, change=change, credits=granted or hello.credits)
        self.subject.must_finish_open(asked)
        return self.subject, service

    def upscale(
        self, asked: Asked, seed: int, *, stride: int = 0, method: str | None = None
    ) -> int:
        """Take one frame there and back, and return its id; its result must be right."""
        frame_id = self.subject.must_submit(seed, stride=stride)
        self.subject.must_receive(frame_id, self.expected.crc(seed, asked, method))
        return frame_id

    def exchange(self, service: ScriptedService, asked: Asked, seed: int) -> int:
        """Take one frame to a scripted service and back, and return its id."""
        frame_id = self.subject.must_submit(seed)
        service.finish(service.frame(seed, frame_id))
        self.subject.must_receive(frame_id, self.expected.crc(seed, asked))
        return frame_id

    def sessions(self) -> list[str]:
        """Ids of the real service's sessions."""
        with Control(self.service.endpoint) as control:
            return [client.id for client in control.report().clients]

    def segments(self) -> set[Path]:
        """Files of shared memory that the real service has mapped, where Linux tells.

        Raises CaseSkipped elsewhere.
        """
        maps = Path(f"/proc/{self.service.pid}/maps")
        if not maps.exists():
            msg = "only Linux says what a process has mapped"
            raise CaseSkipped(msg)
        mapped = (line.split(maxsplit=5)[5:] for line in maps.read_text().splitlines())
        paths = {Path(name[0]) for name in mapped if name}
        return {path for path in paths if path.name.startswith(PREFIX) and path.exists()}

    def wait_until(self, holds: Callable[[], bool], *, expected: str) -> None:
        """Raise CaseFailed unless it holds within a while; the service tidies up on its own."""
        until = time.monotonic() + TIDY_S
        while not holds():
            require(that=time.monotonic() < until, expected=expected, came=f"not in {TIDY_S:g} s")
            time.sleep(0.02)

    def end_case(self) -> None:
        """End the scripted services of a case."""
        self._scripted.close()
