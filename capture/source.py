"""What a source of frames is.

Who owns the pixels: a frame lies in memory that its source may use again for the next one, so it is
to be used, or copied, before the next is asked for. With a `Target` each new frame is written into
memory of the caller's instead, such as a slot that the service reads, and is the caller's for good.
A frame that repeats the one before is never written there: what it shows is known already.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from protocol.frames import PixelFormat, Size

Pixels = NDArray[np.uint8]
Target = Callable[[], Pixels]
"""Gives memory for the next frame, (height, width, channels) uint8 of the source's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedFrame:
    """`pixels` (height, width, channels) uint8, and its time from the start in seconds.

    `captured_ns` is when it was taken, on the clock of `time.perf_counter_ns`; `repeated` says that
    it equals the frame before, and then `pixels` may be that one's.
    """

    pixels: Pixels
    time_s: float
    captured_ns: int = field(default_factory=time.perf_counter_ns)
    repeated: bool = False


class Source(Protocol):
    """An iterable of frames of one size. Close it, or use it in a `with` block."""

    @property
    def size(self) -> Size:
        """Size of every frame."""

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of every frame."""

    @property
    def fps(self) -> float:
        """Frames a second."""

    @property
    def frame_count(self) -> int | None:
        """Number of frames, None where it is unknown."""

    @property
    def note(self) -> str:
        """What a user should know of its state, such as that a window is minimised; or nothing."""

    @property
    def resized(self) -> Size | None:
        """The new size, when that is why the frames ended: open the source again."""

    def __iter__(self) -> Iterator[CapturedFrame]: ...

    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:
        """Yield the frames, written into memory of `target` where it is given."""

    def close(self) -> None:
        """Free what the source holds. Idempotent."""


class BaseSource(ABC):
    """What sources share: they close with a `with` block, and by default have nothing to say."""

    _note = ""
    _resized: Size | None = None

    @property
    def note(self) -> str:
        """What a user should know of its state, or nothing."""
        return self._note

    @property
    def resized(self) -> Size | None:
        """The new size, when that is why the frames ended."""
        return self._resized

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[CapturedFrame]:
        return self.frames()

    @abstractmethod
    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:
        """Yield the frames, written into memory of `target` where it is given."""

    def close(self) -> None:  # noqa: B027 - many hold nothing
        """Free what the source holds. Idempotent."""


def delivered(
    pixels: Pixels, previous: Pixels | None, time_s: float, target: Target | None
) -> CapturedFrame:
    """Make a frame of `pixels`: compared with `previous`, and copied to `target` if it is new."""
    captured_ns = time.perf_counter_ns()
    repeated = previous is not None and np.array_equal(pixels, previous)
    if target is not None and not repeated:
        written = target()
        np.copyto(written, pixels)
        pixels = written
    return CapturedFrame(pixels=pixels, time_s=time_s, captured_ns=captured_ns, repeated=repeated)
