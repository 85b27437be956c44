"""The Python client's driver with one thing done wrong, as a client in the making may do it."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np
from msgspec.structs import replace

from protocol.errors import ProtocolError, ServiceLostError, UpscalerError
from upscaler.conformance.driver import Driver
from upscaler.conformance.language import ERROR, OK, Line, line_of
from upscaler.conformance.pattern import checksum, fill
from upscaler.contract import Frame


class IgnoresStrides(Driver):
    """Writes rows without gaps, whatever the stride."""

    def submit(self, line: Line) -> Line:
        if not line.integer("stride"):
            return super().submit(line)
        frame = self.client.acquire(stride=line.integer("stride"))
        dense = np.empty(frame.shape, np.uint8)
        fill(dense, line.integer("seed"))
        _memory(frame)[: dense.size] = dense.ravel()
        return line_of(OK, id=self.client.submit(frame))


class IgnoresResultStrides(Driver):
    """Reads rows without gaps, whatever the result's stride."""

    def crc(self, pixels: Frame) -> str:
        return checksum(_memory(pixels)[: pixels.size])


class WrongChecksums(Driver):
    """One bit of each result is wrong."""

    def crc(self, pixels: Frame) -> str:
        broken = pixels.copy()
        broken[-1, -1, 0] ^= 1
        return checksum(broken)


class HidesDrops(Driver):
    """Never says that a frame was dropped."""

    def receive(self, line: Line) -> Line:
        answer = super().receive(line)
        return self.receive(line) if answer.values.get("outcome") == "dropped" else answer


class CrashesOnGarbage(Driver):
    """What is no message ends it."""

    def receive(self, line: Line) -> Line:
        try:
            return super().receive(line)
        except ProtocolError as error:
            msg = "segmentation fault"
            raise SystemExit(msg) from error


class GivesGarbageOut(Driver):
    """Takes whatever comes for a result."""

    def receive(self, line: Line) -> Line:
        try:
            return super().receive(line)
        except ProtocolError:
            return line_of(OK, id=2, outcome="upscaled", crc="00000000")


class SubmitsTwice(Driver):
    """Sends a slot that it does not own."""

    def submit_again(self, _: Line) -> Line:
        assert self._submitted is not None
        return line_of(OK, id=self.client.submit(self._submitted.copy()))


class ReleasesEarly(Driver):
    """Keeps no result, and shows what has come into its slot since."""

    def receive(self, line: Line) -> Line:
        self.seen: dict[str, Any] = getattr(self, "seen", {})
        result = self.client.receive(line.integer("timeout_ms") / 1000)
        answer = line_of(OK, id=result.frame_id, outcome="upscaled", crc=self.crc(result.pixels))
        self.seen[str(result.frame_id)] = np.frombuffer(
            memoryview(result.pixels.base if result.pixels.base is not None else result.pixels),
            np.uint8,
        )
        self.client.release(result)
        return answer

    def release(self, line: Line) -> Line:
        return line_of(OK, crc=checksum(self.seen[line.text("id")]))


class IgnoresDeadlines(Driver):
    """Submits without a deadline."""

    def submit(self, line: Line) -> Line:
        return super().submit(Line("submit", line.values | {"deadline_ms": "0"}))


class GoesInlineUnasked(Driver):
    """Takes transport=shm for a wish."""

    def open(self, line: Line) -> Line:
        return super().open(Line("open", line.values | {"transport": "auto"}))


class HidesLosses(Driver):
    """A service that has gone is only slow."""

    def receive(self, line: Line) -> Line:
        try:
            return super().receive(line)
        except ServiceLostError:
            return line_of(ERROR, code=17)


class CountsAnew(Driver):
    """Begins with frame 1 after a reconnection."""

    def open(self, line: Line) -> Line:
        self.opened = line
        return super().open(line)

    def reconnect(self, _: Line) -> Line:
        self.open(self.opened)
        return Line(OK)


class ExceedsCredits(Driver):
    """Sends as many frames as it likes."""

    def open(self, line: Line) -> Line:
        answer = super().open(line)
        session = self.client._connection.session
        session.welcome = replace(self.client.welcome, credits=8)
        return answer


class LeavesWithoutAWord(Driver):
    """Drops the connection instead of saying goodbye."""

    def close(self, line: Line) -> Line:
        if self._client is not None:
            socket = self._client._connection._socket
            assert socket is not None
            socket.close(linger_s=0)
            self._client._connection._socket = None
        return super().close(line)


class ForgetsTheFallback(Driver):
    """Leaves a field of HELLO out."""

    def open(self, line: Line) -> Line:
        values = line.values | {"fallback": "", "timeout_ms": "1000"}
        return super().open(Line("open", values))


class AnyCode(Driver):
    """Every refusal is an internal error."""

    def open(self, line: Line) -> Line:
        try:
            return super().open(line)
        except UpscalerError:
            return line_of(ERROR, code=1)


class Hangs(Driver):
    """Does not come back from receive."""

    def receive(self, _: Line) -> Line:
        time.sleep(3)
        raise SystemExit


class Babbles(Driver):
    """Answers what is no answer."""

    def stats(self, _: Line) -> Line:
        return line_of("frames", are=1)


class LeavesOut(Driver):
    """Answers without a value that must be there."""

    def submit(self, line: Line) -> Line:
        super().submit(line)
        return Line(OK)


def _memory(pixels: Frame) -> Frame:
    """All the bytes that a frame's rows lie in, gaps as well."""
    root = pixels
    with contextlib.suppress(AttributeError):
        while isinstance(root.base, np.ndarray):
            root = root.base
    return root.reshape(-1)
