"""What the filters compiled with Numba share: they prepare a frame, then compute rows in bands."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from protocol.frames import PixelFormat, Size
from upscaler.bands import in_bands
from upscaler.contract import Frame, check_frames
from upscaler.machine import cpu_name

Rows = NDArray[np.uint8]
"""A frame as (height, width x channels)."""


class RowFilter(ABC):
    """An `Upscaler` whose output rows are computed independently of one another."""

    name: str
    engine = "numba"
    emulated = False

    def __init__(self, size: Size, upscaled: Size, pixel_format: PixelFormat) -> None:
        self.device = f"CPU: {cpu_name()}"
        self.input_shape = size.shape(pixel_format)
        self.output_shape = upscaled.shape(pixel_format)

    def __call__(self, src: Frame, dst: Frame) -> None:
        """Upscale `src` into `dst`, uint8 of `input_shape` and `output_shape`."""
        check_frames(self, src, dst)
        source, result = (each.reshape(each.shape[0], -1) for each in (src, dst))
        self._prepare(source)
        in_bands(
            lambda band, start, stop: self._upscale(source, result, band, start, stop),
            0,
            dst.shape[0],
        )

    def close(self) -> None:  # noqa: B027 - few filters hold anything
        """Nothing is held."""

    def _prepare(self, source: Rows) -> None:  # noqa: B027 - not all have something to prepare
        """Work out what the output rows share."""

    @abstractmethod
    def _upscale(self, source: Rows, result: Rows, band: int, start: int, stop: int) -> None:
        """Compute rows `start` to `stop` of `result`; bands run at the same time."""
