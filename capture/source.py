"""What a source of frames is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.frames import PixelFormat, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedFrame:
    """`pixels` (height, width, channels) uint8, and its time from the start in seconds."""

    pixels: NDArray[np.uint8]
    time_s: float


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

    def __iter__(self) -> Iterator[CapturedFrame]: ...

    def close(self) -> None:
        """Free what the source holds. Idempotent."""
