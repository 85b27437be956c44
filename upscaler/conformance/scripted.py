"""A service that says what a case wants it to say: true results, and what a real one never would.

It runs on the thread of the case, between two commands to the driver: the case starts a command,
takes the client's message from here, answers it, and finishes the command. So nothing happens at
the same time and every case goes the same way each time. What the client sends is held against the
protocol just as the real service does it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from msgspec.structs import replace

from protocol.errors import ErrorCode, ProtocolError
from protocol.frames import MAX_PIXELS
from protocol.messages import (
    INLINE_SLOT,
    Bye,
    Failure,
    Frame,
    Hello,
    Keepalive,
    Outcome,
    Result,
    Transport,
    Welcome,
    decode,
    encode,
)
from protocol.session import ReceivedFrame, ServiceSession
from upscaler.conformance.case import fail, require
from upscaler.conformance.expected import Asked, Expected
from upscaler.conformance.pattern import pattern
from upscaler.contract import Frame as Pixels
from upscaler.service.opening import make_pixels
from upscaler.service.pixels import ClientPixels, welcome_fields
from upscaler.transport import RouterTransport, Sent

MESSAGE_S = 5.0
"""How long a message may take that the client has to send."""
TICK_NS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A frame that the client has submitted, and what its result must show."""

    frame: Frame
    upscaled: Pixels
    target: Pixels
    """Where a result in shared memory goes."""


class ScriptedService:
    """Listens on a free port of loopback for the length of a `with` block, to one client."""

    def __init__(self, asked: Asked, expected: Expected, *, message_s: float = MESSAGE_S) -> None:
        """Expect a session of what is `asked` for; `message_s` is as MESSAGE_S says."""
        self._message_s = message_s
        self._asked = asked
        self._expected = expected
        self._transport = RouterTransport("tcp://127.0.0.1:*", max_part_bytes=MAX_PIXELS * 4)
        self.endpoint = self._transport.endpoint
        self._peer = b""
        self._session = ServiceSession()
        self._last_frame_id = 0
        self._pixels: ClientPixels | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._free()
        self._transport.close(linger_s=0)

    # What the client sends

    def hello(self) -> Hello:
        """Take a HELLO, of the client that was there or of one that comes anew."""
        while True:
            event = self._take("HELLO")
            if isinstance(event, Hello):
                return event
            require(that=isinstance(event, Bye), expected="HELLO", came=_kind(event))

    def frame(self, seed: int, frame_id: int) -> Taken:
        """Take the FRAME that `submit` of `seed` answered with `frame_id`.

        Its id, its time, its geometry and every pixel must be right.
        """
        event = self._take("FRAME")
        if not isinstance(event, ReceivedFrame):
            fail("FRAME", _kind(event))
        frame = event.frame
        require(
            that=frame.frame_id == frame_id,
            expected=f"FRAME with the id that submit answered, {frame_id}",
            came=frame.frame_id,
        )
        require(
            that=frame.frame_id > self._last_frame_id,
            expected=f"a frame id above {self._last_frame_id}",
            came=frame.frame_id,
        )
        self._last_frame_id = frame.frame_id
        now_ns = time.perf_counter_ns()
        require(
            that=0 < frame.submitted_ns <= now_ns,
            expected="submitted_ns on this machine's monotonic clock",
            came=f"{(frame.submitted_ns - now_ns) / 1e6:.1f} ms from now",
        )
        assert self._pixels is not None
        source = self._pixels.source(event)
        wanted = pattern(seed, self._asked.size, self._asked.pixel_format)
        if not np.array_equal(source, wanted):
            row, column, _ = np.argwhere(source != wanted)[0]
            fail(
                f"the pattern of seed {seed} in FRAME {frame_id}",
                f"other bytes from row {row}, column {column} (stride {frame.stride})",
            )
        result = self._pixels.take(event)
        assert result is not None
        self._pixels.give_back(result)
        return Taken(
            frame=frame,
            upscaled=self._expected.upscaled(source, self._asked),
            target=result.pixels,
        )

    def bye(self) -> None:
        """Take a BYE."""
        event = self._take("BYE")
        require(that=isinstance(event, Bye), expected="BYE", came=_kind(event))

    # What it answers

    def offer(self, hello: Hello) -> Welcome:
        """Make what a session needs, and the true WELCOME."""
        self._free()
        self._pixels = make_pixels(self._asked.request(), hello)
        return Welcome(
            upscaled=self._asked.upscaled,
            credits=hello.credits,
            pixel_format=hello.pixel_format,
            method=self._asked.method.partition(":")[0],
            engine="none",
            device="CPU: a script",
            emulated=False,
            transport=hello.transport,
            delivery=hello.delivery,
            **welcome_fields(self._pixels),  # type: ignore[arg-type]
        )

    def welcome(
        self, hello: Hello, *, change: Callable[[bytes], bytes] = bytes, **changes: Any
    ) -> None:
        """Open the session, with a WELCOME that is untrue in these fields, or these bytes."""
        self.welcome_with(replace(self.offer(hello), **changes), change)

    def welcome_with(self, welcome: Welcome, change: Callable[[bytes], bytes] = bytes) -> None:
        """Open the session with that WELCOME."""
        (header,) = self._session.welcome_to_send(welcome)
        self.send(change(header))

    def refuse(self, code: ErrorCode, sentence: str | None) -> None:
        """Answer HELLO with ERROR; None leaves the sentence out. The client may ask again."""
        header, text = self._session.refusal_to_send(Failure(code=code), sentence or "")
        self.send(*((header,) if sentence is None else (header, text)))

    def result_of(self, taken: Taken, **changes: Any) -> Result:
        """Return the header of a frame's result, untrue in these fields; sends nothing."""
        frame, upscaled = taken.frame, self._asked.upscaled
        result = Result(
            frame_id=frame.frame_id,
            size=upscaled,
            stride=upscaled.width * frame.pixel_format.channels,
            pixel_format=frame.pixel_format,
            slot=frame.slot,
            submitted_ns=frame.submitted_ns,
            received_ns=frame.submitted_ns + TICK_NS,
            started_ns=frame.submitted_ns + 2 * TICK_NS,
            finished_ns=frame.submitted_ns + 3 * TICK_NS,
            returned_ns=frame.submitted_ns + 4 * TICK_NS,
            deadline_ns=frame.deadline_ns,
        )
        return replace(result, **changes)

    def finish(self, taken: Taken, *, padding: int = 0) -> None:
        """Send the true result of a frame; inline rows may be `padding` bytes apart."""
        result = self.result_of(taken)
        rows = taken.upscaled.reshape(taken.upscaled.shape[0], -1)
        if result.slot != INLINE_SLOT:
            taken.target[...] = taken.upscaled
            self.send(self._session.result_to_send(result))
            return
        # Bytes between the rows that would show in a checksum.
        padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xEE)
        result = replace(result, stride=padded.shape[1])
        self.send(self._session.result_to_send(result), padded.tobytes())

    def drop(self, taken: Taken) -> None:
        """Say that a frame was dropped."""
        result = self.result_of(taken, outcome=Outcome.DROPPED, started_ns=0, finished_ns=0)
        self.send(self._session.result_to_send(result))

    def fail(self, taken: Taken, code: int, sentence: str | None = "") -> None:
        """Answer a frame with ERROR; None leaves the sentence out altogether."""
        failure = Failure(code=code, frame_id=taken.frame.frame_id)
        parts = self._session.frame_failure_to_send(failure, sentence or "")
        self.send(*(parts if sentence is not None else parts[:1]))

    def keep_alive(self) -> None:
        """Send KEEPALIVE."""
        self.send(encode(Keepalive()))

    def say_goodbye(self) -> None:
        """Send BYE, as a service does that ends."""
        self.send(encode(Bye()))
        self._session = ServiceSession()

    def send(self, *parts: bytes) -> None:
        """Send any parts to the client; that it has gone shows in what it answers next."""
        until = time.monotonic() + self._message_s
        # More at once than ZeroMQ keeps for a peer only wait for its thread.
        while self._transport.send(self._peer, parts) is Sent.PEER_FULL:
            require(
                that=time.monotonic() < until,
                expected="a client that reads its messages",
                came=f"none read within {self._message_s:g} s",
            )
            time.sleep(0.001)

    def _take(self, what: str) -> Hello | ReceivedFrame | Bye:
        """Return what the client sends next; raises CaseFailed when that breaks the protocol."""
        until = time.monotonic() + self._message_s
        while True:
            received = self._transport.receive()
            if received is None:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    fail(f"{what} of the client", f"nothing within {self._message_s:g} s")
                if not self._transport.readable:
                    self._transport.wait(left_s)
                continue
            try:
                event = self._receive(*received)
            except ProtocolError as error:
                fail(what, f"a message that breaks the protocol: {error}")
            if isinstance(event, Hello | ReceivedFrame | Bye):
                return event

    def _receive(self, peer: bytes, parts: Sequence[Any]) -> object:
        if peer != self._peer:
            if not (parts and isinstance(decode(parts[0]), Hello)):
                return None  # the last words of a connection that was given up
            self._peer, self._session = peer, ServiceSession()
        event = self._session.receive_message(parts)
        if isinstance(event, Bye):
            self._session = ServiceSession()
        if isinstance(event, Hello):
            require(
                that=event.transport is not Transport.SHARED_MEMORY
                or self._asked.transport != "inline",
                expected="HELLO for pixels in messages",
                came="HELLO for shared memory",
            )
        return event

    def _free(self) -> None:
        if self._pixels is not None:
            self._pixels.close()
            self._pixels = None


def _kind(event: object) -> str:
    if isinstance(event, ReceivedFrame):
        return f"FRAME {event.frame.frame_id}"
    return type(event).__name__.upper()
