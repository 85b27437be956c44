"""The way of a captured frame through the service: the session of one method, and the next one's.

Each method that is switched to gets a session of its own, which stays open, so that switching back
takes no time. A service that goes away is waited for, without blocking whoever shows the picture.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Literal, Self

import msgspec
import numpy as np

from protocol.errors import ServiceLostError, ServiceTimeoutError
from protocol.frames import PixelFormat, Size
from protocol.messages import Welcome
from upscaler.client import Client, Upscaled
from upscaler.contract import Frame
from upscaler.timings import STAGES, Statistics, Timing

CREDITS = 3
"""One frame is upscaled, one waits, and a newer one takes the waiting one's place."""
RETRY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A result with pixels, and when the frame behind it was captured."""

    result: Upscaled
    method: str
    captured_ns: int
    owner: Client

    @property
    def pixels(self) -> Frame:
        """(height, width, channels) uint8; until it is released."""
        return self.result.pixels

    def release(self) -> None:
        """Let go of the pixels. Idempotent."""
        self.owner.release(self.result)


class PathReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the frames of one session fare; `points` are ms by stage of those since the last look.

    `each` says what a point is.
    """

    method: str
    engine: str
    device: str
    emulated: bool
    transport: str
    size: str
    upscaled: str
    statistics: Statistics
    points: list[list[float]] = []
    each: str = "frame"


class LivePath:
    """Frames in, results out, by a method that may be changed. Belongs to one thread."""

    def __init__(
        self,
        endpoint: str,
        *,
        size: Size,
        scale: Fraction,
        pixel_format: PixelFormat,
        method: str,
        sharpness_stops: float = 0.2,
        delivery: Literal["latest", "every"] = "latest",
    ) -> None:
        """Open a session for `method`; raises as `Client` does."""
        self.note = ""
        self._endpoint = endpoint
        self._size = size
        self.scale = scale
        self._pixel_format = pixel_format
        self._sharpness_stops = sharpness_stops
        self._delivery: Literal["latest", "every"] = delivery
        self._clients: dict[str, Client] = {}
        self._captured_ns: dict[int, int] = {}
        self._timings: deque[Timing] = deque(maxlen=256)
        self._lost = False
        self._client = self._open(method)

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
        """What the service said of the method in use."""
        return self._client.welcome

    @property
    def in_flight(self) -> int:
        """Frames whose results have not come."""
        return self._client.in_flight

    def use(self, method: str) -> None:
        """Go on with another method; results of frames in flight are lost.

        Raises ServiceError with the service's own words when it has no such method for this size
        and scale; the method in use stays.
        """
        if self._lost:
            raise ServiceLostError(self.note)
        chosen = self._clients.get(method) or self._open(method)
        if chosen is self._client:
            return
        self._drain()
        self._client = chosen

    def ready(self) -> bool:
        """Whether a frame can be sent now; tries to find a service again that has gone.

        Waits a moment at most.
        """
        if self._lost:
            try:
                self._client.reconnect(RETRY_S)
            except ServiceTimeoutError:
                return False
            except ServiceLostError:  # it ended again while it was asked
                time.sleep(RETRY_S)
                return False
            self._lost = False
            self.note = ""
        return self._client.in_flight < CREDITS

    def acquire(self) -> Frame:
        """Return memory for the next frame, (height, width, channels) uint8; `ready` came first.

        The service's own, unless it has gone since.
        """
        try:
            if not self._lost:
                return self._client.acquire()
        except ServiceLostError as error:
            self._lose(error)
        return np.empty(self._size.shape(self._pixel_format), np.uint8)

    def submit(self, frame: Frame, *, captured_ns: int) -> int:
        """Send a frame and return its id; 0 when the service has gone, see `note`."""
        if self._lost:
            return 0
        try:
            frame_id = self._client.submit(frame)
        except ServiceLostError as error:
            self._lose(error)
            return 0
        self._captured_ns[frame_id] = captured_ns
        return frame_id

    def receive(self, timeout_s: float) -> Shown | None:
        """Return the next result that has pixels, or None after `timeout_s`.

        Release it some time. Raises ServiceError when the service failed on a frame.
        """
        until_s = time.perf_counter() + timeout_s
        while self._client.in_flight:
            try:
                result = self._client.receive(max(0.0, until_s - time.perf_counter()))
            except ServiceTimeoutError:
                return None
            except ServiceLostError as error:
                self._lose(error)
                return None
            captured_ns = self._captured_ns.pop(result.frame_id, result.timing.submitted_ns)
            if not result.dropped:
                self._timings.append(result.timing)
                return Shown(
                    result=result,
                    method=self.welcome.method,
                    captured_ns=captured_ns,
                    owner=self._client,
                )
        return None

    def statistics(self) -> Statistics:
        """How the frames of the method in use fare; takes about a millisecond."""
        return self._client.stats()

    def report(self) -> PathReport:
        """Everything about the method in use, with the frames since the last report."""
        welcome = self.welcome
        points = [_stages_ms(timing) for timing in self._timings]
        self._timings.clear()
        return PathReport(
            method=welcome.method,
            engine=welcome.engine,
            device=welcome.device,
            emulated=welcome.emulated,
            transport=self._client.transport,
            size=str(self._size),
            upscaled=str(welcome.upscaled),
            statistics=self.statistics(),
            points=points,
        )

    def close(self) -> None:
        """Close the sessions. Idempotent."""
        for client in self._clients.values():
            client.close()

    def _open(self, method: str) -> Client:
        client = Client(
            self._endpoint,
            size=(self._size.width, self._size.height),
            scale=self.scale,
            pixel_format=self._pixel_format.label,
            method=method,
            sharpness_stops=self._sharpness_stops,
            credits=CREDITS,
            delivery=self._delivery,
            name="capture",
        )
        self._clients[method] = client
        return client

    def _drain(self) -> None:
        while (late := self.receive(1.0)) is not None:
            late.release()
        self._captured_ns.clear()

    def _lose(self, error: ServiceLostError) -> None:
        self._lost = True
        self._captured_ns.clear()
        self.note = f"{error}; waiting for it"


def _stages_ms(timing: Timing) -> list[float]:
    """Milliseconds of each of `STAGES`; 0 where a time is not known."""
    times_ns: Sequence[int] = timing.times_ns
    return [
        round((times_ns[place + 1] - times_ns[place]) / 1e6, 3) if times_ns[place] else 0.0
        for place in range(len(STAGES))
    ]
