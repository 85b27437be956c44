"""The client under test, seen through its driver: one method for each command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import ErrorCode, ProtocolError
from upscaler.conformance.case import CaseSkipped, require
from upscaler.conformance.expected import Asked
from upscaler.conformance.language import OK, Line, line_of
from upscaler.conformance.link import DriverError, Link

RECEIVE_MS = 10_000
"""How long a result may take that is surely on its way."""
START_S = 20.0
"""How long a driver on a socket may still be at the last command of a case that failed."""
GONE = (ErrorCode.SERVICE_LOST, ErrorCode.SHUTTING_DOWN)
COUNTS = ("frames", "fallbacks", "dropped", "missed", "failed", "lost")
TRANSPORTS = {"shm", "inline"}


class Subject:
    """A client behind a driver, which is started when it is first needed, and after it failed."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._opened = False
        self.name = ""
        self.transports: set[str] = set()

    @property
    def started(self) -> bool:
        """Whether there is a driver that has said hello."""
        return self._link.is_open

    def start(self) -> None:
        """Make sure that a driver answers; raises DriverError, or as `Link.open` does."""
        if self._link.is_open:
            return
        self._link.open()
        try:
            answer = self._link.ask(Line("hello"), waits_s=START_S)
            with _sense("hello"):
                self.name = answer.text("client")
                self.transports = set(answer.text("transports").split(","))
                if not self.transports or not self.transports <= TRANSPORTS:
                    msg = f"transports={answer.text('transports')} must be inline, shm or both"
                    raise ProtocolError(msg)
        except DriverError:
            self.stop(polite=False)
            raise

    def stop(self, *, polite: bool = True) -> None:
        """End the driver, or, when not `polite`, whatever may be left of it; idempotent."""
        self._opened = False
        self._link.close(polite=polite)

    def end_case(self) -> None:
        """Leave nothing for the next case; raises DriverError when closing fails."""
        if self._opened and self._link.is_open:
            self.close()

    # Commands that may fail

    def start_open(self, endpoint: str, asked: Asked) -> None:
        """Begin to open a session; `finish_open` has the answer."""
        self.start()
        if asked.transport not in self.transports | {"auto"}:
            msg = f"the client has no transport {asked.transport}"
            raise CaseSkipped(msg)
        self.end_case()
        self._opened = True
        self._link.start(asked.command(endpoint))

    def finish_open(self, asked: Asked) -> Line:
        """Return the answer to `start_open`."""
        answer = self._link.finish(waits_s=asked.timeout_ms / 1000)
        if answer.word == OK:
            with _sense("open"):
                answer.text("method")
                for key in ("width", "height", "credits"):
                    answer.integer(key)
                if answer.text("transport") not in TRANSPORTS:
                    msg = f"transport={answer.text('transport')} must be inline or shm"
                    raise ProtocolError(msg)
        return answer

    def open(self, endpoint: str, asked: Asked) -> Line:
        """Open a session."""
        self.start_open(endpoint, asked)
        return self.finish_open(asked)

    def submit(self, seed: int, *, stride: int = 0, deadline_ms: int = 0) -> Line:
        """Submit the pattern of `seed`."""
        command = line_of("submit", seed=seed, stride=stride, deadline_ms=deadline_ms)
        answer = self._link.ask(command, waits_s=20)
        if answer.word == OK:
            with _sense("submit"):
                answer.integer("id")
        return answer

    def submit_again(self) -> Line:
        """Submit the last frame once more."""
        return self._link.ask(Line("submit_again"), waits_s=20)

    def start_receive(self, *, timeout_ms: int = RECEIVE_MS, keep: bool = False) -> None:
        """Begin to wait for a result; `finish_receive` has it."""
        self._link.start(line_of("receive", timeout_ms=timeout_ms, keep=int(keep)))

    def finish_receive(self, *, timeout_ms: int = RECEIVE_MS) -> Line:
        """Return the answer to `start_receive`."""
        answer = self._link.finish(waits_s=timeout_ms / 1000)
        with _sense("receive"):
            if answer.word == OK:
                answer.integer("id")
                outcome = answer.text("outcome")
                if outcome not in {"upscaled", "fallback", "dropped"}:
                    msg = f"outcome={outcome} must be upscaled, fallback or dropped"
                    raise ProtocolError(msg)
                if outcome != "dropped":
                    answer.values["crc"] = _crc(answer)
            elif "lost" in answer.values:
                lost_of(answer)
        return answer

    def receive(self, *, timeout_ms: int = RECEIVE_MS, keep: bool = False) -> Line:
        """Wait for a result."""
        self.start_receive(timeout_ms=timeout_ms, keep=keep)
        return self.finish_receive(timeout_ms=timeout_ms)

    def release(self, frame_id: int) -> str:
        """Release a kept result; returns its checksum at that moment."""
        answer = self._ok(self._link.ask(line_of("release", id=frame_id)), "release of a result")
        with _sense("release"):
            return _crc(answer)

    def start_reconnect(self, *, timeout_ms: int = 20_000) -> None:
        """Begin to open the session anew."""
        self._link.start(line_of("reconnect", timeout_ms=timeout_ms))

    def finish_reconnect(self, *, timeout_ms: int = 20_000) -> Line:
        """Return the answer to `start_reconnect`."""
        return self._link.finish(waits_s=timeout_ms / 1000)

    def stats(self) -> dict[str, int]:
        """Counts of the client."""
        answer = self._ok(self._link.ask(Line("stats")), "stats")
        with _sense("stats"):
            return {key: answer.integer(key) for key in COUNTS}

    def close(self) -> None:
        """Close the client."""
        self._opened = False
        self._ok(self._link.ask(Line("close"), waits_s=5), "close")

    # Commands that must not fail

    def must_open(self, endpoint: str, asked: Asked) -> Line:
        """Open a session; raises CaseFailed when that fails, or answers what was not asked for."""
        self.start_open(endpoint, asked)
        return self.must_finish_open(asked)

    def must_finish_open(self, asked: Asked) -> Line:
        """Return the answer to `start_open`, checked as `must_open` does."""
        answer = self._ok(self.finish_open(asked), f"a session of {asked.size} {asked.format}")
        size = f"{answer.text('width')}x{answer.text('height')}"
        require(
            that=size == str(asked.upscaled), expected=f"results of {asked.upscaled}", came=size
        )
        transport = answer.text("transport")
        if asked.transport != "auto":
            require(
                that=transport == asked.transport,
                expected=f"transport={asked.transport}",
                came=f"transport={transport}",
            )
        return answer

    def must_submit(self, seed: int, *, stride: int = 0, deadline_ms: int = 0) -> int:
        """Submit a frame and return its id."""
        answer = self.submit(seed, stride=stride, deadline_ms=deadline_ms)
        return self._ok(answer, "submit to succeed").integer("id")

    def must_receive(
        self, frame_id: int, crc: str, *, outcome: str = "upscaled", keep: bool = False
    ) -> Line:
        """Receive the result of that frame with that outcome and checksum, and no other."""
        answer = self.receive(keep=keep)
        wanted = f"id={frame_id} outcome={outcome}" + (f" crc={crc}" if crc else "")
        came = (answer.word, answer.values.get("id"), answer.values.get("outcome"))
        right = came == (OK, str(frame_id), outcome) and answer.values.get("crc", "") == crc
        require(that=right, expected=f"ok {wanted}", came=answer)
        return answer

    def must_reconnect(self) -> None:
        """Open the session anew."""
        self.start_reconnect()
        self.must_finish_reconnect()

    def must_finish_reconnect(self) -> None:
        """Require that `start_reconnect` succeeds."""
        self._ok(self.finish_reconnect(), "reconnect to succeed")

    def _ok(self, answer: Line, what: str) -> Line:
        require(that=answer.word == OK, expected=what, came=answer)
        return answer


def require_error(answer: Line, *codes: ErrorCode, when: str) -> None:
    """Raise CaseFailed unless `answer` is an error, of one of these codes if there are any."""
    wanted = " or ".join(f"{int(code)} {code.name}" for code in codes) or "of any code"
    fits = answer.word != OK and (not codes or answer.integer("code") in codes)
    require(that=fits, expected=f"error {wanted} {when}", came=answer)


def lost_of(answer: Line) -> list[int]:
    """Return the ids that an error names as lost; raises ProtocolError for what are no ids."""
    named = answer.values.get("lost", "")
    try:
        lost = [int(each) for each in named.split(",") if each]
    except ValueError as error:
        msg = f"lost={named} must be frame ids with commas"
        raise ProtocolError(msg) from error
    if not lost and answer.values.get("id", "0") != "0":
        lost = [answer.integer("id")]
    return lost


def _crc(answer: Line) -> str:
    crc = answer.text("crc").lower()
    if len(crc) != 8 or set(crc) - set("0123456789abcdef"):
        msg = f"crc={crc} must be eight hexadecimal digits"
        raise ProtocolError(msg)
    return crc


@contextmanager
def _sense(command: str) -> Iterator[None]:
    """Turn what is wrong in an answer into an error of the driver."""
    try:
        yield
    except ProtocolError as error:
        msg = f"the driver answered nonsense to `{command}`: {error}"
        raise DriverError(msg) from error
