"""NVIDIA Image Scaling 1.0.3: NVScaler, which upscales up to twice and sharpens along edges.

Follows `NIS_Scaler.h` in 32-bit float and equals the shader's output in `tests/golden/nis` on every
value; NVIDIA's own sample computes in 16 bits. That includes the shader's mistake at the left and
top: there, what lies two and three pixels outside the picture comes from its opposite edge, which
shows in the first three rows and columns. Input must be perceptual (sRGB). Alpha comes back opaque.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.bands import BANDS, in_bands
from upscaler.filters.nis_edge_kernels import BLOCK, DIRECTIONS, LUMA
from upscaler.filters.nis_kernels import MARGIN, nis_rows, spread_rows
from upscaler.filters.nis_tables import PHASES, SCALE, SHARPEN, TAPS
from upscaler.filters.options import DEFAULT_NIS_SHARPNESS, MAX_NIS_SCALE
from upscaler.filters.positions import Positions, positions
from upscaler.filters.rows import RowFilter, Rows

f = np.float32


class Nis(RowFilter):
    """NVIDIA Image Scaling for one size, ratio and format; `sharpness` is 0 (none) to 1.

    Raises BadRequestError for a ratio that is not 1 to 2 on each axis (UNSUPPORTED_SCALE), and for
    a sharpness out of range (BAD_OPTION).
    """

    name = "nis"

    def __init__(
        self,
        size: Size,
        upscaled: Size,
        pixel_format: PixelFormat,
        *,
        sharpness: float = DEFAULT_NIS_SHARPNESS,
    ) -> None:
        _check(size, upscaled, sharpness)
        super().__init__(size, upscaled, pixel_format)
        columns, rows = _axis(size.width, upscaled.width), _axis(size.height, upscaled.height)
        passes, order, steady = _in_blocks(columns)
        count, width = passes.shape
        phases = (passes * f(PHASES)).astype(np.intp)
        banks = np.stack([SCALE[phases], SHARPEN[phases]], axis=1).transpose(0, 1, 3, 2)
        blue_first = pixel_format.blue_first
        # The shader's blocks begin at pixel -1 unless the picture keeps its size.
        self._layout = (
            size.width,
            blue_first,
            upscaled.height > size.height,
            upscaled.width > size.width,
        )
        self._planes = np.zeros((size.height + 2 * MARGIN, LUMA + 1, width + TAPS - 1), f)
        self._axes = (
            passes,
            np.ascontiguousarray(banks),
            order,
            rows.whole,
            rows.fraction.astype(f),
            _strengths(sharpness),
            steady,
            blue_first,
        )
        self._scratch = [
            (
                np.zeros((DIRECTIONS, width + 1), f),
                np.zeros((TAPS, count, width), f),
                np.zeros((2, count, DIRECTIONS + LUMA, width), f),
                np.zeros((2, width + TAPS - 1), f),
                np.zeros((DIRECTIONS + 1, width), f),
                np.zeros((DIRECTIONS, width // BLOCK), np.bool_),
                np.zeros((3, count, width), f),
                np.zeros((3, upscaled.width), f),
            )
            for _ in range(BANDS)
        ]

    def _prepare(self, source: Rows) -> None:
        in_bands(
            lambda _, start, stop: spread_rows(source, *self._layout, self._planes, start, stop),
            0,
            self._planes.shape[0],
        )

    def _upscale(self, source: Rows, result: Rows, band: int, start: int, stop: int) -> None:
        del source
        nis_rows(self._planes, *self._axes, *self._scratch[band], result, start, stop)


def _check(size: Size, upscaled: Size, sharpness: float) -> None:
    sides = ((size.width, upscaled.width), (size.height, upscaled.height))
    if not all(side <= long <= MAX_NIS_SCALE * side for side, long in sides):
        msg = f"nis makes each side 1 to {MAX_NIS_SCALE} times as long, not {size} to {upscaled}"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
    if not 0 <= sharpness <= 1:
        msg = f"a sharpness of {sharpness:g} is out of range for nis; choose 0 to 1 (sharpest)"
        raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)


def _axis(side: int, upscaled: int) -> Positions:
    """Positions as NVScaler computes them, in float32: their last bit can decide a phase."""
    scale = f(side) / f(upscaled)
    position = (f(0.5) + np.arange(upscaled, dtype=f)) * scale - f(0.5)
    whole = np.floor(position)
    return positions(whole.astype(np.intp), (position - whole).astype(np.float64), side)


def _in_blocks(columns: Positions) -> tuple[NDArray[np.float32], NDArray[np.intp], bool]:
    """Passes filled up to whole blocks, the order in them, and if each has one fraction, as at 2x.

    If so, positions at which a pass has no pixel have that fraction too.
    """
    count, positions_ = columns.passes.shape
    width = -(-positions_ // BLOCK) * BLOCK
    turns, places = np.divmod(columns.order, positions_)
    passes = np.zeros((count, width), f)
    passes[:, :positions_] = columns.passes
    used = [np.unique(columns.fraction[turns == turn]) for turn in range(count)]
    steady = all(each.size == 1 for each in used)
    if steady:
        passes[:] = np.array(used)
    return passes, turns * width + places, steady


def _strengths(sharpness: float) -> NDArray[np.float32]:
    """Least strength in the light, how much more in the dark; the same of the limit.

    As NVScalerUpdateConfig has them for SDR; below the middle, sharpness of 0 means none.
    """
    slider = f(sharpness) - f(0.5)
    least_scale = limit_scale = f(1.25) if slider >= 0 else f(1)
    most_scale = f(1.25) if slider >= 0 else f(1.75)
    least = max(f(0), f(0.4) + slider * least_scale * f(1.2))
    most = f(1.6) + slider * most_scale * f(1.8)
    limit_least = max(f(0.1), f(0.14) + slider * limit_scale * f(0.32))
    limit_most = f(0.5) + slider * limit_scale * f(0.6)
    return np.array([least, most - least, limit_least, limit_most - limit_least], f)
