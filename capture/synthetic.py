"""A moving pattern, the same in every run: for tests, and to try things without a game."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from capture.source import BaseSource, CapturedFrame, Pixels, Target, delivered
from protocol.frames import PixelFormat, Size, check_size

STEP = 4
"""Pixels that the pattern moves from frame to frame."""


class MovingPattern(BaseSource):
    """Stripes, a ramp and a checkerboard that move to the right; bgr8.

    `frame_count` frames, or without end; each frame is shown `repeats` times.
    """

    pixel_format = PixelFormat.BGR8

    def __init__(
        self,
        size: Size,
        *,
        fps: float = 30.0,
        frame_count: int | None = None,
        repeats: int = 1,
    ) -> None:
        check_size(size)
        self.size = size
        self.fps = fps
        self.frame_count = frame_count
        self._repeats = repeats
        rows, columns = np.mgrid[: size.height, : size.width]
        self._picture = np.stack(
            [
                (columns * 255 // max(size.width - 1, 1)),
                ((rows // 8 + columns // 8) % 2) * 255,
                (columns * 7 % 256),
            ],
            axis=2,
        ).astype(np.uint8)

    def picture(self, index: int) -> Pixels:
        """Return frame `index`, (height, width, 3) uint8, blue first."""
        return np.roll(self._picture, STEP * (index // self._repeats), axis=1)

    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:
        """Yield the frames; see `Source.frames`."""
        previous: Pixels | None = None
        for index in count() if self.frame_count is None else range(self.frame_count):
            pixels = self.picture(index)
            yield delivered(pixels, previous, index / self.fps, target)
            previous = pixels
