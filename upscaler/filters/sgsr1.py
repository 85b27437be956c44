"""Snapdragon Game Super Resolution 1, the variant with edge direction.

Follows Qualcomm's `sgsr1_shader_mobile.frag`. Without edge direction the published shader's weights
saturate, and its result falls below bilinear: that variant is not offered. Input must be perceptual
(sRGB). Alpha comes back opaque.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.frames import PixelFormat, Size
from upscaler.bands import BANDS, in_bands
from upscaler.filters.easu_kernels import MARGIN
from upscaler.filters.positions import Positions, positions
from upscaler.filters.rows import RowFilter, Rows
from upscaler.filters.sgsr1_kernels import sgsr1_rows, spread_rows


class Sgsr1(RowFilter):
    """SGSR1 for one size, ratio and format."""

    name = "sgsr1"

    def __init__(self, size: Size, upscaled: Size, pixel_format: PixelFormat) -> None:
        super().__init__(size, upscaled, pixel_format)
        margin = 2 * MARGIN
        self._planes = np.zeros((size.height + margin, 4, size.width + margin), np.float32)
        columns, column_steps = _sampled(size.width, upscaled.width)
        rows, row_steps = _sampled(size.height, upscaled.height)
        steps = np.zeros_like(columns.passes)
        steps.ravel()[columns.order] = column_steps
        self._axes = (
            columns.passes.astype(np.float32),
            steps.astype(np.float32),
            columns.order,
            rows.whole,
            rows.fraction.astype(np.float32),
            row_steps.astype(np.float32),
        )
        self._scratch = [
            (
                np.zeros((3, *columns.passes.shape), np.float32),
                np.zeros((3, upscaled.width), np.float32),
            )
            for _ in range(BANDS)
        ]

    def _prepare(self, source: Rows) -> None:
        in_bands(
            lambda _, start, stop: spread_rows(source, self._planes, start, stop),
            0,
            self._planes.shape[0],
        )

    def _upscale(self, source: Rows, result: Rows, band: int, start: int, stop: int) -> None:
        del source
        sgsr1_rows(self._planes, *self._axes, *self._scratch[band], result, start, stop)


def _sampled(side: int, upscaled: int) -> tuple[Positions, NDArray[np.float64]]:
    """Positions from texture coordinates, and the sampler's: 256 steps from pixel to pixel."""
    coordinate = (np.arange(upscaled, dtype=np.float32) + np.float32(0.5)) / np.float32(upscaled)
    position = coordinate * np.float32(side) - np.float32(0.5)
    whole = np.floor(position)
    steps = np.rint(coordinate * np.float32(side * 256)) - 128 - 256 * whole
    fraction = (position - whole).astype(np.float64)
    return positions(whole.astype(np.intp), fraction, side), steps.astype(np.float64)
