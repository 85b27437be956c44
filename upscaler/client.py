"""The client: a blocking call for each frame, or a pipeline of submit and receive.

    with Client("tcp://127.0.0.1:5560", size=(960, 540), scale=2, pixel_format="rgba8") as client:
        upscaled = client.upscale(frame)

Without a copy, for a game: render into `acquire()`, `submit()` it, show what `receive()` returns.

    frame = client.acquire()          # yours to fill, in the service's own memory
    render_into(frame)
    client.submit(frame)              # the service's from here on, and read-only
    result = client.receive()         # result.pixels are yours until you let go of them
    show(result.pixels)
    client.release(result)            # or drop every array that looks into it

Pixels travel in shared memory where client and service share a machine, else in the messages; see
`transport` and `inline_reason`. Without shared memory the same calls work, and a result's array is
the message's own memory.

When the service goes, the next call raises ServiceLostError with the frames that are lost, and the
one after that connects anew. Not thread-safe: a client belongs to one thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from fractions import Fraction
from operator import index
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

import msgspec
import numpy as np

from protocol.errors import (
    BadRequestError,
    ErrorCode,
    ServiceError,
    ServiceLostError,
    ServiceTimeoutError,
)
from protocol.frames import Size, parse_format, parse_scale, upscaled_size
from protocol.messages import INLINE_SLOT, Delivery, Hello, Outcome, Transport, Welcome
from protocol.session import MAX_CREDITS, ReceivedResult
from upscaler.client_slots import ClientSlots
from upscaler.connection import Connection, Wait
from upscaler.contract import Frame
from upscaler.timings import Counter, Statistics, Timing

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5560"
MAX_DEADLINE_MS = 60_000.0
DELIVERIES = {"latest": Delivery.LATEST, "every": Delivery.EVERY}
TRANSPORTS = {
    "auto": Transport.SHARED_MEMORY,
    "shm": Transport.SHARED_MEMORY,
    "inline": Transport.INLINE,
}


class Upscaled(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One result. `outcome` says who made it; one that was dropped has no pixels."""

    frame_id: int
    timing: Timing
    outcome: Outcome
    array: Frame | None

    @property
    def pixels(self) -> Frame:
        """(height, width, channels) uint8 in the session's format.

        Raises BadRequestError when the frame was dropped.
        """
        if self.array is None:
            msg = f"frame {self.frame_id} was dropped and has no pixels; look at `dropped` first"
            raise BadRequestError(msg)
        return self.array

    @property
    def dropped(self) -> bool:
        """Whether a newer frame took its place, or its deadline could not be kept."""
        return self.outcome is Outcome.DROPPED


class Client:
    """A session with the service for frames of one size, scale, format and method."""

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        size: tuple[int, int],
        scale: float | str | Fraction = 2,
        pixel_format: str = "rgb8",
        method: str = "",
        sharpness_stops: float = 0.2,
        credits: int = 3,  # noqa: A002 - the protocol's word
        delivery: Literal["latest", "every"] = "latest",
        fallback: str = "",
        transport: Literal["auto", "shm", "inline"] = "auto",
        timeout_s: float = 60.0,
        name: str = "python",
    ) -> None:
        """Connect and open the session; returns when the service is ready for frames.

        `size` is (width, height) in pixels; `scale` exactly 2, 3, 4 or 3/2, or any ratio from 1 to
        4 for filters; an empty `method` means the service's default; `credits` bounds the frames
        in flight; with fewer than 3 `submit` waits for the inference before it can replace a frame.
        With `delivery` "latest" a frame that waits is dropped when a newer one comes, with "every"
        none is. `fallback`, a filter or "drop", is what becomes of a frame that would
        miss the deadline it was submitted with; empty, it comes late. `transport` "auto" takes
        shared memory where it can be had. Every wait ends after `timeout_s`, opening included,
        which compiles a network and may take seconds.

        Raises BadRequestError for what can be seen to be wrong here, ServiceError with the
        service's own words for what it refuses, ServiceTimeoutError when nobody answers.
        """
        ratio, colour = parse_scale(scale), parse_format(pixel_format)
        try:
            frame_size = Size(index(size[0]), index(size[1]))
        except TypeError as error:
            msg = f"size={size} is no (width, height) in whole pixels"
            raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SIZE) from error
        upscaled_size(frame_size, ratio)
        if not isinstance(credits, int) or not 1 <= credits <= MAX_CREDITS:
            msg = f"credits={credits} is out of range; choose 1 to {MAX_CREDITS}"
            raise BadRequestError(msg)
        self.endpoint = endpoint
        self._shape = frame_size.shape(colour)
        self._timeout_s = timeout_s
        hello = Hello(
            size=frame_size,
            scale=ratio,
            pixel_format=colour,
            method=method,
            fallback=fallback,
            transport=_choose("transport", transport, TRANSPORTS),
            delivery=_choose("delivery", delivery, DELIVERIES),
            sharpness_stops=sharpness_stops,
            credits=credits,
            client=name,
        )
        self._counter = Counter()
        self._received: deque[Upscaled | ServiceError] = deque()
        # Slots of frames in flight; inline ones are known here alone.
        self._sent: dict[int, int] = {}
        self._connection = Connection(endpoint, hello, may_go_inline=transport == "auto")
        try:
            self._connection.ready(self._wait())
        except BaseException:
            self.close()
            raise

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
    def welcome(self) -> Welcome:
        """What the service said when the session was opened: method, engine, device, sizes.

        Raises ServiceLostError while there is no session: `reconnect` first.
        """
        welcome = self._connection.session.welcome
        if welcome is None:
            msg = f"there is no session with the service at {self.endpoint} now; reconnect() first"
            raise ServiceLostError(msg)
        return welcome

    @property
    def transport(self) -> str:
        """How pixels travel: "shm" or "inline"; `inline_reason` says why not in shared memory."""
        slots = self._connection.slots
        return "shm" if slots is not None and slots.shared else "inline"

    @property
    def inline_reason(self) -> str:
        """Why pixels travel inline though shared memory would do; empty otherwise."""
        return self._connection.inline_reason

    @property
    def in_flight(self) -> int:
        """Frames submitted whose results have not arrived."""
        return len(self._connection.session.in_flight)

    def stats(self) -> Statistics:
        """What became of the frames so far, and the latency of each stage of the recent ones."""
        return self._counter.statistics()

    def upscale(self, frame: Frame, *, deadline_ms: float | None = None) -> Frame:
        """Upscale one frame and return the result.

        `frame` is (height, width, channels) uint8 of the session's size, the caller's own or
        acquired. The result may lie in shared memory: see `receive`. Raises ServiceError when the
        service could not upscale it. Not to be mixed with frames that are in flight.
        """
        if self.in_flight or self._received:
            msg = "upscale() while frames are in flight; receive() them first"
            raise BadRequestError(msg)
        self.submit(frame, copy=False, deadline_ms=deadline_ms)
        return self.receive().pixels

    def acquire(self, *, stride: int | None = None) -> Frame:
        """Return memory for the next frame, (height, width, channels) uint8, to be filled.

        Rows are `stride` bytes apart; by default they follow one another, which alone costs no
        copy. It is the caller's until it is submitted or released. Raises BadRequestError when
        every slot is in use, and ServiceLostError as `submit` does.
        """
        slots = self._ready(self._wait())
        frame = slots.acquire(stride)
        if frame is None:
            msg = f"no slot is free ({slots.usage()}); receive() results and release() them first"
            raise BadRequestError(msg, code=ErrorCode.BAD_SLOT)
        return frame

    def submit(self, frame: Frame, *, copy: bool = True, deadline_ms: float | None = None) -> int:
        """Send a frame and return its id; waits while all credits are in flight.

        An acquired frame is sent where it lies, and is read-only from then on. Another array is
        copied first; inline and without `copy` it is not, and must be left alone until the frame's
        result has been received. With `deadline_ms`, the time it has from now, the session's
        `fallback` is used if the frame would be late.

        Raises BadRequestError for an array of another shape or dtype than the session's, for a
        slot that is not the caller's and for a deadline that has passed; ServiceTimeoutError when
        no credit comes back in time; ServiceLostError, once, when the service has gone. Results
        that arrive meanwhile are kept for `receive`.
        """
        submitted_ns = time.perf_counter_ns()
        if frame.shape != self._shape or frame.dtype != np.uint8:
            msg = (
                f"the frame is {frame.shape} {frame.dtype}; this session takes {self._shape} uint8"
            )
            raise BadRequestError(msg, code=ErrorCode.PIXELS_MISMATCH)
        if deadline_ms is not None and not 0 < deadline_ms <= MAX_DEADLINE_MS:
            msg = (
                f"a deadline {deadline_ms:g} ms from now has passed, or is no deadline; give one "
                f"up to {MAX_DEADLINE_MS:g} ms ahead"
            )
            raise BadRequestError(msg, code=ErrorCode.STALE_DEADLINE)
        deadline_ns = 0 if deadline_ms is None else submitted_ns + int(deadline_ms * 1e6)
        wait = self._wait()
        slots = self._ready(wait)
        session = self._connection.session
        while session.credits < 1:
            self._receive_into_queue(wait)
        slot = slots.slot_of(frame)
        if slot is None and (slots.shared or copy):
            filled = self.acquire()
            np.copyto(filled, frame)
            frame, slot = filled, slots.slot_of(filled)
        if slot is not None:
            slots.submit(slot, frame)
        _, width, channels = frame.shape
        dense = frame.flags.c_contiguous
        frame_id, header = session.frame_to_send(
            stride=frame.strides[0] if slots.shared and not dense else width * channels,
            slot=slot if slots.shared and slot is not None else INLINE_SLOT,
            submitted_ns=submitted_ns,
            deadline_ns=deadline_ns,
        )
        if slot is not None:
            self._sent[frame_id] = slot
        parts = [header] if slots.shared else [header, np.ascontiguousarray(frame)]
        self._connection.send(parts, wait, copy=slots.shared)
        return frame_id

    def receive(self, timeout_s: float | None = None) -> Upscaled:
        """Return the next result, in the order of completion; one may say that it was dropped.

        In shared memory its array is the slot itself, which is the caller's, to write as well,
        until it is released or the last array over it has gone: keep results for long, and no slot
        is free for the next frame; `result.pixels.copy()` keeps one without its slot.

        Raises ServiceError, carrying the frame's id, when that frame failed; ServiceTimeoutError
        after `timeout_s` (the client's by default); BadRequestError when nothing is in flight;
        ServiceLostError, once, when the service has gone: the frames in flight are lost then.
        """
        wait = self._wait(timeout_s)
        while not self._received:
            if not self.in_flight:
                msg = "receive() with no frame in flight; submit() one first"
                raise BadRequestError(msg)
            self._receive_into_queue(wait)
        received = self._received.popleft()
        if isinstance(received, ServiceError):
            raise received
        return received

    def poll(self) -> Upscaled | None:
        """Return the next result if it is there, without waiting; raises as `receive` does."""
        try:
            return self.receive(0) if self._received or self.in_flight else None
        except ServiceTimeoutError:
            return None

    def release(self, held: Upscaled | Frame) -> None:
        """Give the slot of a result, or of an acquired frame, back. Idempotent.

        Its arrays must not be used any more: the next frame is written there.
        """
        array = held.array if isinstance(held, Upscaled) else held
        if array is not None and self._connection.slots is not None:
            self._connection.slots.release(array)

    def reconnect(self, timeout_s: float | None = None) -> Welcome:
        """Open the session anew after ServiceLostError; `acquire` and `submit` do so themselves.

        Raises ServiceTimeoutError when nobody answers within `timeout_s` (the client's by default);
        the next call goes on waiting for the same answer. Does nothing to an open session.
        """
        self._ready(self._wait(timeout_s))
        return self.welcome

    def close(self) -> None:
        """Say goodbye and disconnect. Idempotent; arrays of results stay readable."""
        self._connection.close()

    def _ready(self, wait: Wait) -> ClientSlots:
        try:
            return self._connection.ready(wait)
        except ServiceLostError as error:
            self._lose(error)

    def _lose(self, error: ServiceLostError) -> NoReturn:
        self._counter.lost += len(error.frame_ids)
        self._sent.clear()
        raise error

    def _receive_into_queue(self, wait: Wait) -> None:
        try:
            event = self._connection.receive(wait)
        except ServiceLostError as error:
            self._lose(error)
        if isinstance(event, ReceivedResult):
            self._received.append(self._upscaled(event))
        elif isinstance(event, ServiceError):
            if event.frame_id == 0:
                raise event
            self._counter.failed += 1
            self._free(event.frame_id)
            self._received.append(event)

    def _upscaled(self, received: ReceivedResult) -> Upscaled:
        arrived_ns = time.perf_counter_ns()
        result, slots = received.result, self._connection.slots
        assert slots is not None
        array: Frame | None = None
        if received.pixels is not None:
            height, width, channels = result.size.shape(result.pixel_format)
            rows = np.frombuffer(received.pixels, np.uint8).reshape(height, result.stride)
            array = rows[:, : width * channels].reshape(height, width, channels)
            self._free(result.frame_id)
        elif result.outcome is Outcome.DROPPED:
            self._free(result.frame_id)
        else:
            array = slots.returned(result)
            del self._sent[result.frame_id]
        timing = Timing.of(result, arrived_ns=arrived_ns)
        self._counter.add(timing, result.outcome)
        return Upscaled(
            frame_id=result.frame_id, timing=timing, outcome=result.outcome, array=array
        )

    def _free(self, frame_id: int) -> None:
        slot = self._sent.pop(frame_id, None)
        if slot is not None and self._connection.slots is not None:
            self._connection.slots.freed(slot)

    def _wait(self, timeout_s: float | None = None) -> Wait:
        return Wait(self._timeout_s if timeout_s is None else timeout_s)


def _choose(option: str, value: str, offered: Mapping[str, Any]) -> Any:
    if value not in offered:
        msg = f"unknown {option} {value!r}; choose one of {', '.join(offered)}"
        raise BadRequestError(msg)
    return offered[value]
