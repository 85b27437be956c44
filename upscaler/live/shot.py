"""One captured frame for those who look at it, with what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.timings import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A result (height, width, channels) uint8 in the shot's format, and how long it took."""

    pixels: Frame
    timing: Timing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """`source` (height, width, channels) uint8, and results by method; all belong to the shot.

    `native` is the reference, (height, width, 3) uint8, blue first, of the size of results.
    """

    source: Frame
    pixel_format: PixelFormat
    scale: Fraction
    time_s: float
    results: Mapping[str, Picture] = field(default_factory=dict)
    native: Frame | None = None

    @property
    def size(self) -> Size:
        """Size of the source."""
        return Size(self.source.shape[1], self.source.shape[0])
