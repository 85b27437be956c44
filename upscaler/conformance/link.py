"""The kit's end of a driver: a process that it starts, or a socket that it connects to.

A driver may do anything: hang, end, or answer nonsense. Each becomes a DriverError with a clear
sentence, after which the driver is started, or connected to, anew.
"""

from __future__ import annotations

import os
import queue
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from protocol.errors import BadRequestError, ErrorCode, ProtocolError, ServiceError, UpscalerError
from upscaler.conformance.language import ERROR, MAX_LINE_BYTES, OK, Line, parse_line

ANSWER_S = 15.0
"""How long an answer may take beyond what the command itself waits for."""
CONNECT_S = 10.0
"""How long a driver that listens may take to accept."""

END_S = 2.0
"""How long a process may take to end when its stdin has."""

Say = Callable[[str], None]


class DriverError(UpscalerError):
    """A driver that crashed, hung or answered nonsense."""


class Link(ABC):
    """Commands to a driver, and its answers, one for each, in order. Belongs to one thread."""

    def __init__(self, say: Say | None = None, *, answer_s: float = ANSWER_S) -> None:
        """`say` is told every line; `answer_s` is as ANSWER_S says."""
        self.dialogue: list[str] = []
        """What was said since somebody cleared it."""
        self.answer_s = answer_s
        self._say = say
        self._commands: Any = None
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._asked: Line | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a driver to talk to."""
        return self._commands is not None

    def open(self) -> None:
        """Start the driver, or connect to it.

        Raises BadRequestError for a command that cannot be run, and ServiceError when nobody
        accepts the connection.
        """
        commands, answers = self._connect()
        self._commands, self._answers, self._asked = commands, queue.SimpleQueue(), None
        threading.Thread(target=_read, args=(answers, self._answers), daemon=True).start()

    def start(self, command: Line) -> None:
        """Give a command, without waiting for its answer."""
        self._note(f"> {command}")
        self._asked = command
        try:
            self._commands.write(f"{command}\n")
            self._commands.flush()
        except (OSError, ValueError) as error:
            raise DriverError(self._ended()) from error

    def finish(self, *, waits_s: float = 0.0) -> Line:
        """Return the answer to the command that was started, which itself waits for `waits_s`.

        Raises DriverError when there is none, or one that is no answer.
        """
        allowed_s = self.answer_s + waits_s
        try:
            said = self._answers.get(timeout=allowed_s)
        except queue.Empty as error:
            msg = f"the driver hung: no answer to `{self._asked}` within {allowed_s:g} s"
            raise DriverError(msg) from error
        if said is None:
            raise DriverError(self._ended())
        self._note(f"< {said.rstrip()}")
        try:
            return _answer(said.rstrip())
        except ProtocolError as error:
            msg = f"the driver answered nonsense to `{self._asked}`: {error}"
            raise DriverError(msg) from error

    def ask(self, command: Line, *, waits_s: float = 0.0) -> Line:
        """Give a command and return its answer; raises DriverError as `start` and `finish` do."""
        self.start(command)
        return self.finish(waits_s=waits_s)

    def close(self, *, polite: bool = True) -> None:
        """End the dialogue: with `quit`, or, when not `polite`, without a word. Idempotent.

        A driver that is a process has ended then. One on a socket accepts anew unless it was told
        to quit.
        """
        if self.is_open:
            if polite:
                with suppress(DriverError):
                    self.ask(Line("quit"))
            with suppress(OSError, ValueError):
                self._commands.close()
            self._commands = None
            self._disconnect()

    def _note(self, line: str) -> None:
        self.dialogue.append(line)
        if self._say is not None:
            self._say(line)

    @abstractmethod
    def _connect(self) -> tuple[IO[str], IO[str]]: ...

    @abstractmethod
    def _disconnect(self) -> None: ...

    @abstractmethod
    def _ended(self) -> str: ...


class ProcessLink(Link):
    """A driver that is a process, and answers on its stdout."""

    def __init__(self, command: str, say: Say | None = None, *, answer_s: float = ANSWER_S) -> None:
        """`command` is split as a shell would, and not given to one.

        Raises BadRequestError for quotes that do not end, and for an empty command.
        """
        super().__init__(say, answer_s=answer_s)
        try:
            self._arguments = shlex.split(command, posix=os.name != "nt")
        except ValueError as error:
            msg = f"--command {command!r} cannot be split into words: {error}"
            raise BadRequestError(msg) from error
        if not self._arguments:
            msg = "--command is empty; give the program that drives your client"
            raise BadRequestError(msg)
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None

    def _connect(self) -> tuple[IO[str], IO[str]]:
        # A file: a driver that says much must not block on a kit that does not read.
        self._log = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what the user asked for
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            self._log.close()
            msg = f"cannot run {self._arguments[0]}: {error.strerror or error}; see --command"
            raise BadRequestError(msg) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def _disconnect(self) -> None:
        assert self._process is not None
        assert self._log is not None
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _ended(self) -> str:
        assert self._process is not None
        assert self._log is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        code = self._process.returncode
        how = "closed its stdout" if code is None else f"ended with exit code {code}"
        if code is not None and code < 0:
            how = f"was ended by signal {-code}"
        self._log.seek(0)
        last = self._log.read().strip().rpartition("\n")[2][:200]
        return f"the driver {how} at `{self._asked}`" + (f"; it said: {last}" if last else "")


class SocketLink(Link):
    """A driver that listens on a TCP socket."""

    def __init__(self, address: str, say: Say | None = None, *, answer_s: float = ANSWER_S) -> None:
        """`address` is HOST:PORT; raises BadRequestError for anything else."""
        super().__init__(say, answer_s=answer_s)
        host, colon, port = address.rpartition(":")
        if not (colon and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            msg = f"--connect {address!r} is no address; write it as HOST:PORT"
            raise BadRequestError(msg)
        self._address = (host.strip("[]"), int(port))
        self._socket: socket.socket | None = None

    def _connect(self) -> tuple[IO[str], IO[str]]:
        until = time.monotonic() + CONNECT_S
        while True:
            try:
                self._socket = socket.create_connection(self._address, timeout=CONNECT_S)
                break
            except OSError as error:  # it may still be closing the last connection
                if time.monotonic() > until or isinstance(error, socket.gaierror):
                    host, port = self._address
                    msg = f"no driver accepts at {host}:{port} ({error.strerror or error})"
                    raise ServiceError(msg, code=ErrorCode.TIMEOUT) from error
                time.sleep(0.1)
        self._socket.settimeout(None)
        lines = {"encoding": "utf-8", "errors": "replace"}
        return (
            self._socket.makefile("w", **lines),  # type: ignore[call-overload]
            self._socket.makefile("r", **lines),  # type: ignore[call-overload]
        )

    def _disconnect(self) -> None:
        assert self._socket is not None
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _ended(self) -> str:
        return f"the driver closed the connection at `{self._asked}`"


def _answer(said: str) -> Line:
    answer = parse_line(said)
    if answer.word not in {OK, ERROR}:
        msg = f"an answer begins with ok or error, and not as {said[:60]!r} does"
        raise ProtocolError(msg)
    if answer.word == ERROR and answer.integer("code") < 1:
        msg = f"an error has a code of 1 or more, unlike {said[:60]!r}"
        raise ProtocolError(msg)
    return answer


def _read(answers: IO[str], into: queue.SimpleQueue[str | None]) -> None:
    """Pass lines on until the driver ends; no line is longer than it may be."""
    with suppress(OSError, ValueError), answers:
        while line := answers.readline(MAX_LINE_BYTES + 2):
            into.put(line)
    into.put(None)
