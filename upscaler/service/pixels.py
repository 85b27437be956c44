"""Where a client's frames are read and its results are written: in messages, or in slots.

Either way a frame is a view of memory that is there already, and a result goes into memory that
is reused; nothing of a frame's size is allocated once a session runs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from protocol.frames import PixelFormat, Size
from protocol.session import ReceivedFrame
from protocol.slots import (
    frame_offset,
    result_offset,
    result_slot_bytes,
    segment_bytes,
    slot_bytes,
    slot_count,
)
from upscaler.contract import Frame as Pixels
from upscaler.shared_memory import Segment
from upscaler.transport import Delivery


@dataclass(slots=True, eq=False)
class Result:
    """Memory of one result. It may be written once the transport has let go of the last one."""

    pixels: Pixels
    delivery: Delivery = field(default_factory=Delivery)


class Dense:
    """Makes the rows of a padded frame follow one another, as runtimes need them: one copy.

    Frames without padding pass as they are. Belongs to the inference thread.
    """

    def __init__(self) -> None:
        self._scratch: Pixels | None = None

    def __call__(self, source: Pixels) -> Pixels:
        """Return `source`, or a copy in memory that the next call writes over."""
        if source.flags.c_contiguous:
            return source
        if self._scratch is None:
            self._scratch = np.empty(source.shape, np.uint8)
        np.copyto(self._scratch, source)
        return self._scratch


class InlinePixels:
    """Frames lie in received messages; results are sent from buffers, reused when ZeroMQ is done.

    Reused, since a fresh 8 MB costs a millisecond of page faults.
    """

    def __init__(self, result_shape: tuple[int, int, int], *, limit: int) -> None:
        self.dense = Dense()
        self._shape = result_shape
        self._limit = limit
        self._made = 0
        self._free: deque[Result] = deque()

    def source(self, received: ReceivedFrame) -> Pixels:
        """See a frame's bytes as (height, width, channels), rows `stride` bytes apart."""
        assert received.pixels is not None
        frame = received.frame
        shape = frame.size.shape(frame.pixel_format)
        return _rows(np.frombuffer(received.pixels, np.uint8), shape, frame.stride)

    def take(self, received: ReceivedFrame) -> Result | None:  # noqa: ARG002 - as in SharedPixels
        """Return a buffer that nobody reads any more, or None when all are on their way."""
        for _ in range(len(self._free)):
            buffer = self._free.popleft()
            if buffer.delivery.done:
                return buffer
            self._free.append(buffer)
        if self._made == self._limit:
            return None
        self._made += 1
        return Result(np.empty(self._shape, np.uint8))

    def give_back(self, result: Result) -> None:
        """Return a buffer, to be reused when its `delivery` is done."""
        self._free.append(result)

    def close(self) -> None:
        """Nothing has to be freed."""


class SharedPixels:
    """Frames and results lie in slots of a segment, which is the client's own."""

    def __init__(
        self,
        size: Size,
        upscaled: Size,
        pixel_format: PixelFormat,
        *,
        credit_count: int,
    ) -> None:
        """Make the segment; raises ServiceError (UNSUPPORTED_TRANSPORT) without room for it."""
        self.dense = Dense()
        self._shape = size.shape(pixel_format)
        result_shape = upscaled.shape(pixel_format)
        self.slot_count = slot_count(credit_count)
        self.slot_bytes = slot_bytes(size, pixel_format)
        self.result_slot_bytes = result_slot_bytes(upscaled, pixel_format)
        sizes = {
            "slot_count": self.slot_count,
            "slot_bytes": self.slot_bytes,
            "result_slot_bytes": self.result_slot_bytes,
        }
        self._segment = Segment.make(segment_bytes(**sizes))
        self._memory = np.frombuffer(self._segment.memory, np.uint8)
        self._frames = []
        self._results = []
        for slot in range(self.slot_count):
            begin = frame_offset(slot, slot_bytes=self.slot_bytes)
            self._frames.append(self._memory[begin : begin + self.slot_bytes])
            begin = result_offset(slot, **sizes)
            pixels = self._memory[begin : begin + int(np.prod(result_shape))]
            self._results.append(Result(pixels.reshape(result_shape)))

    @property
    def segment(self) -> str:
        """Name that the client maps it by."""
        return self._segment.name

    def source(self, received: ReceivedFrame) -> Pixels:
        """See the frame in its slot as (height, width, channels), rows `stride` bytes apart."""
        return _rows(self._frames[received.frame.slot], self._shape, received.frame.stride)

    def take(self, received: ReceivedFrame) -> Result | None:
        """Return the result's half of the frame's pair."""
        return self._results[received.frame.slot]

    def give_back(self, result: Result) -> None:
        """Nothing to do: the pair is the client's again."""

    def close(self) -> None:
        """Free the name; the memory follows when the last frame in it is done."""
        self._segment.unlink()
        self._frames.clear()
        self._results.clear()
        del self._memory


ClientPixels = InlinePixels | SharedPixels


def welcome_fields(pixels: ClientPixels) -> dict[str, int | str]:
    """What WELCOME says of the slots; nothing for a session without."""
    if isinstance(pixels, InlinePixels):
        return {}
    return {
        "slot_count": pixels.slot_count,
        "slot_bytes": pixels.slot_bytes,
        "result_slot_bytes": pixels.result_slot_bytes,
        "segment": pixels.segment,
    }


def inline_limit(credit_count: int) -> int:
    """Inline results of one client that may exist: in flight, and as many that are not free yet.

    ZeroMQ lets go of a result a moment after the client, which may have it already, so a client
    that keeps to its credits never meets this limit.
    """
    return 2 * credit_count + 1


def _rows(memory: Pixels, shape: tuple[int, int, int], stride: int) -> Pixels:
    height, width, channels = shape
    if stride == width * channels:
        return memory[: height * stride].reshape(shape)
    rows = memory[: height * stride].reshape(height, stride)
    return rows[:, : width * channels].reshape(shape)
