"""A service in a process of its own, as the demo, the benchmarks and the tests need it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from protocol.errors import ServiceError

READY = "listening on "
"""What stands before the endpoint on the line that says that clients may connect."""


class ServiceProcess:
    """`upscaler serve` on a free port of loopback, for the length of a `with` block.

    `endpoint` is where it listens; `banner` what it said at start.
    """

    def __init__(self, arguments: Sequence[str] = (), *, bind: str = "tcp://127.0.0.1:*") -> None:
        """Start the process and wait until it listens.

        Raises ServiceError with the service's own last line when it does not start.
        """
        # A file, not a pipe: a chatty service must never block on a reader that does not read.
        self._log = tempfile.TemporaryFile(mode="w+", prefix="upscaler-serve-")  # noqa: SIM115
        command = [sys.executable, "-m", "upscaler", "serve", "--bind", bind, *arguments]
        # The service ends with this process, even if this one is killed.
        command.append("--until-stdin-closes")
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout is not None
        self._signalled = False
        self.banner: list[str] = []
        self.endpoint = ""
        for line in self._process.stdout:
            self.banner.append(line.rstrip())
            if line.startswith(READY):
                self.endpoint = line[len(READY) :].strip()
                break
        if not self.endpoint:
            self._process.wait()
            last = self.log().strip().rpartition("\n")[2].removeprefix("upscaler: ")
            self.close()
            raise ServiceError(last or "the service ended without a word")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def send_signal(self, number: int) -> None:
        """Send a signal to the service; `close` then only waits for it to end."""
        self._signalled = True
        self._process.send_signal(number)

    def pause(self) -> None:
        """Halt the service where it stands, until a signal ends or continues it (POSIX alone)."""
        self.send_signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)  # the last of its threads has stopped

    def log(self) -> str:
        """What the service has written to stderr so far, or had at its end."""
        if not self._log.closed:
            self._log.seek(0)
            self._last_log = self._log.read()
        return self._last_log

    def close(self, *, timeout_s: float = 30.0) -> int:
        """Ask the service to end and return its exit code; kills it after `timeout_s`."""
        if self.running:
            if not self._signalled:  # a second signal would end it at once
                self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self.log()
        self._log.close()
        return self._process.returncode
