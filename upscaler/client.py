"""The client: a blocking call for each frame, or a pipeline of submit and receive.

    with Client("tcp://127.0.0.1:5560", size=(960, 540), scale=2, pixel_format="rgba8") as client:
        upscaled = client.upscale(frame)

Not thread-safe: a client belongs to one thread. `submit` copies the frame unless told not to, so
the caller may reuse its array at once; a received array is the message's own memory and belongs to
the caller.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from operator import index
from types import TracebackType
from typing import Any, Self

import numpy as np

from protocol.errors import BadRequestError, ErrorCode, ServiceError, ServiceTimeoutError
from protocol.frames import Size, parse_format, parse_scale, upscaled_size
from protocol.messages import Hello, Outcome, Result, Welcome
from protocol.session import MAX_CREDITS, ClientSession, ReceivedResult, State
from upscaler.contract import Frame
from upscaler.transport import DealerTransport

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5560"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a frame passed each stage, in ns on this machine's monotonic clock.

    `submitted` and `arrived` are the client's, the others the service's.
    """

    submitted_ns: int
    received_ns: int
    started_ns: int
    finished_ns: int
    returned_ns: int
    arrived_ns: int

    @property
    def total_ms(self) -> float:
        """From `submit` until the pixels are here."""
        return (self.arrived_ns - self.submitted_ns) / 1e6

    @property
    def upscaling_ms(self) -> float:
        """The upscaler alone."""
        return (self.finished_ns - self.started_ns) / 1e6

    @property
    def overhead_ms(self) -> float:
        """Everything but the upscaler: copies, sockets and waiting."""
        return self.total_ms - self.upscaling_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Upscaled:
    """One result: `pixels` (height, width, channels) uint8 in the session's format."""

    frame_id: int
    pixels: Frame
    timing: Timing
    outcome: Outcome


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
        credits: int = 2,  # noqa: A002 - the protocol's word
        timeout_s: float = 60.0,
        name: str = "python",
    ) -> None:
        """Connect and open the session; returns when the service is ready for frames.

        `size` is (width, height) in pixels; `scale` exactly 2, 3, 4 or 3/2; an empty `method`
        means the service's default; `credits` bounds the frames in flight. Every wait ends after
        `timeout_s`, opening included, which compiles a network and may take seconds.

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
        if not 1 <= credits <= MAX_CREDITS:
            msg = f"credits={credits} is out of range; choose 1 to {MAX_CREDITS}"
            raise BadRequestError(msg)
        self.endpoint = endpoint
        self._shape = frame_size.shape(colour)
        self._timeout_s = timeout_s
        self._received: deque[Upscaled | ServiceError] = deque()
        self._session = ClientSession()
        self._transport = DealerTransport(endpoint)
        hello = Hello(
            size=frame_size,
            scale=ratio,
            pixel_format=colour,
            method=method,
            sharpness_stops=sharpness_stops,
            credits=credits,
            client=name,
        )
        try:
            self.welcome = self._open(hello)
        except BaseException:
            self._transport.close(linger_s=0)
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

    def upscale(self, frame: Frame) -> Frame:
        """Upscale one frame and return the result.

        `frame` is (height, width, channels) uint8 of the session's size. Raises ServiceError when
        the service could not upscale it. Not to be mixed with frames that are in flight.
        """
        if self._session.in_flight or self._received:
            msg = "upscale() while frames are in flight; receive() them first"
            raise BadRequestError(msg)
        self.submit(frame, copy=False)
        return self.receive().pixels

    def submit(self, frame: Frame, *, copy: bool = True) -> int:
        """Send a frame and return its id; waits while all credits are in flight.

        Without `copy` the array must be left alone until the frame's result has been received.
        Raises BadRequestError for an array of another shape or dtype than the session's, and
        ServiceTimeoutError when no credit comes back in time. Results that arrive meanwhile are
        kept for `receive`.
        """
        if frame.shape != self._shape or frame.dtype != np.uint8:
            msg = (
                f"the frame is {frame.shape} {frame.dtype}; this session takes {self._shape} uint8"
            )
            raise BadRequestError(msg, code=ErrorCode.PIXELS_MISMATCH)
        deadline = time.monotonic() + self._timeout_s
        while self._session.credits < 1 and self._session.state is State.OPEN:
            self._receive_into_queue(deadline)
        _, width, channels = frame.shape
        frame_id, header = self._session.frame_to_send(
            stride=width * channels, submitted_ns=time.perf_counter_ns()
        )
        parts = [header, np.ascontiguousarray(frame)]
        if not self._transport.send(
            parts, timeout_s=max(0.0, deadline - time.monotonic()), copy=copy
        ):
            raise self._timed_out(self._timeout_s)
        return frame_id

    def receive(self, timeout_s: float | None = None) -> Upscaled:
        """Return the next result, in the order of completion.

        Raises ServiceError, carrying the frame's id, when that frame failed; ServiceTimeoutError
        after `timeout_s` (the client's by default); BadRequestError when nothing is in flight.
        """
        deadline = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        while not self._received:
            if not self._session.in_flight:
                msg = "receive() with no frame in flight; submit() one first"
                raise BadRequestError(msg)
            self._receive_into_queue(deadline)
        received = self._received.popleft()
        if isinstance(received, ServiceError):
            raise received
        return received

    @property
    def in_flight(self) -> int:
        """Frames submitted whose results have not arrived."""
        return len(self._session.in_flight)

    def close(self) -> None:
        """Say goodbye and disconnect. Idempotent."""
        if self._session.state is State.OPEN:
            self._transport.send(self._session.bye_to_send(), timeout_s=0)
        self._transport.close()

    def _open(self, hello: Hello) -> Welcome:
        deadline = time.monotonic() + self._timeout_s
        self._transport.send(self._session.hello_to_send(hello), timeout_s=self._timeout_s)
        while True:
            event = self._receive_event(deadline)
            if isinstance(event, Welcome):
                return event
            if isinstance(event, ServiceError):
                raise event

    def _receive_into_queue(self, deadline: float) -> None:
        event = self._receive_event(deadline)
        if isinstance(event, ReceivedResult):
            self._received.append(_upscaled(event))
        elif isinstance(event, ServiceError):
            if event.frame_id == 0:
                raise event
            self._received.append(event)

    def _receive_event(self, deadline: float) -> Any:
        wait_s = max(0.0, deadline - time.monotonic())
        parts = self._transport.receive(wait_s)
        if parts is None:
            raise self._timed_out(wait_s)
        return self._session.receive_message(parts)

    def _timed_out(self, waited_s: float) -> ServiceTimeoutError:
        msg = (
            f"the service at {self.endpoint} did not answer within {waited_s:.3g} s; "
            "is `upscaler serve` running there?"
        )
        return ServiceTimeoutError(msg)


def _upscaled(received: ReceivedResult) -> Upscaled:
    arrived_ns = time.perf_counter_ns()
    result: Result = received.result
    height, width, channels = result.size.shape(result.pixel_format)
    rows = np.frombuffer(received.pixels, np.uint8).reshape(height, result.stride)
    return Upscaled(
        frame_id=result.frame_id,
        pixels=rows[:, : width * channels].reshape(height, width, channels),
        timing=Timing(
            submitted_ns=result.submitted_ns,
            received_ns=result.received_ns,
            started_ns=result.started_ns,
            finished_ns=result.finished_ns,
            returned_ns=result.returned_ns,
            arrived_ns=arrived_ns,
        ),
        outcome=result.outcome,
    )
