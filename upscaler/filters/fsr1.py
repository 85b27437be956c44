"""AMD FidelityFX Super Resolution 1.0.2: EASU upscales, 8 bits between, RCAS sharpens.

Follows `ffx_fsr1.h`, approximate reciprocals included, and equals the shader's output in
`tests/golden/fsr1` on every value. Input must be perceptual (sRGB), as game frames are. FSR1 is a
colour filter: alpha comes back opaque.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.frames import PixelFormat, Size
from upscaler.bands import BANDS, in_bands
from upscaler.filters import easu_kernels, rcas_kernels
from upscaler.filters.options import Fsr1Options
from upscaler.filters.positions import centred
from upscaler.filters.rows import RowFilter, Rows


class Easu(RowFilter):
    """EASU of FSR 1.0.2 alone, without sharpening, for one size, ratio and format."""

    name = "easu"

    def __init__(self, size: Size, upscaled: Size, pixel_format: PixelFormat) -> None:
        super().__init__(size, upscaled, pixel_format)
        self._blue_first = pixel_format.blue_first
        margin = 2 * easu_kernels.MARGIN
        height, width = size.height + margin, size.width + margin
        self._colours = np.empty((height, 3, width), np.float32)
        self._light = np.empty((height, width), np.float32)
        self._edges = np.empty((height, 4, width), np.float32)
        columns = centred(size.width, upscaled.width)
        rows = centred(size.height, upscaled.height)
        self._axes = (
            columns.passes.astype(np.float32),
            columns.order,
            rows.whole,
            rows.fraction.astype(np.float32),
        )
        self._scratch = [
            _Scratch(
                passes=np.empty((3, *columns.passes.shape), np.float32),
                kept=np.empty((rcas_kernels.KEPT, 3, upscaled.width + 2), np.float32),
                levels=np.empty((3, upscaled.width), np.float32),
            )
            for _ in range(BANDS)
        ]

    def _upscale(self, source: Rows, result: Rows, band: int, start: int, stop: int) -> None:
        del source
        scratch = self._scratch[band]
        rcas_kernels.easu_rows(
            self._colours,
            self._edges,
            *self._axes,
            scratch.passes,
            scratch.kept[0],
            scratch.levels,
            result,
            start,
            stop,
        )

    def _prepare(self, source: Rows) -> None:
        in_bands(
            lambda _, start, stop: easu_kernels.expand_rows(
                source, self._blue_first, self._colours, self._light, start, stop
            ),
            0,
            self._light.shape[0],
        )
        in_bands(
            lambda _, start, stop: easu_kernels.analyse_rows(self._light, self._edges, start, stop),
            1,
            self._light.shape[0] - 1,
        )


class Fsr1(Easu):
    """FSR 1.0.2 for one size, ratio and format."""

    name = "fsr1"

    def __init__(
        self,
        size: Size,
        upscaled: Size,
        pixel_format: PixelFormat,
        options: Fsr1Options | None = None,
    ) -> None:
        super().__init__(size, upscaled, pixel_format)
        chosen = options or Fsr1Options()
        self._rounded = chosen.between == "8bit"
        self._sharpening = (
            chosen.border == "clamp",
            np.float32(2.0) ** np.float32(-chosen.sharpness_stops),
            chosen.limiter == "1.0",
            chosen.denoise,
            self._blue_first,
        )

    def _upscale(self, source: Rows, result: Rows, band: int, start: int, stop: int) -> None:
        del source
        scratch = self._scratch[band]
        rcas_kernels.fsr1_rows(
            self._colours,
            self._edges,
            *self._axes,
            self._rounded,
            *self._sharpening,
            scratch.passes,
            scratch.kept,
            scratch.levels,
            result,
            start,
            stop,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scratch:
    """What one thread needs for a row."""

    passes: NDArray[np.float32]
    kept: NDArray[np.float32]
    levels: NDArray[np.float32]
