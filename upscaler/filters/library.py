"""The filters by name. Their libraries load when a filter is made."""

from __future__ import annotations

import math

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size, check_size
from upscaler.contract import Upscaler

FILTERS = ("fsr1", "bicubic", "bicubic-matlab", "nearest")
SHARPENED = "fsr1"
"""The filter that has a sharpness."""
MAX_RATIO = 4
DEFAULT_SHARPNESS_STOPS = 0.2
MAX_SHARPNESS_STOPS = 8.0


def check_sharpness(stops: float) -> None:
    """Raise BadRequestError unless `stops` is a sharpness of FSR1: 0 (sharpest) to 8."""
    if not (math.isfinite(stops) and 0 <= stops <= MAX_SHARPNESS_STOPS):
        msg = (
            f"a sharpness of {stops:g} stops is out of range; "
            f"choose 0 (sharpest) to {MAX_SHARPNESS_STOPS:g}"
        )
        raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)


def check_filter_name(method: str) -> None:
    """Raise BadRequestError (UNKNOWN_METHOD) unless a filter is called `method`; loads nothing."""
    if method not in FILTERS:
        msg = f"unknown method {method!r}; choose one of {', '.join(FILTERS)}"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD)


def make_filter(
    method: str,
    size: Size,
    upscaled: Size,
    pixel_format: PixelFormat,
    *,
    sharpness_stops: float = DEFAULT_SHARPNESS_STOPS,
) -> Upscaler:
    """Make a filter from `size` to `upscaled`, each side 1 to 4 times as long.

    `sharpness_stops` concerns FSR1. Raises BadRequestError for an unknown method, a size or ratio
    out of range, or a sharpness out of range.
    """
    check_filter_name(method)
    check_size(size)
    check_size(upscaled, what="result")
    sides = ((size.width, upscaled.width), (size.height, upscaled.height))
    if not all(side <= long <= MAX_RATIO * side for side, long in sides):
        msg = f"{size} to {upscaled} is out of range; each side may grow 1 to {MAX_RATIO} times"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
    if method == "fsr1":
        from upscaler.filters.fsr1 import Fsr1

        return Fsr1(size, upscaled, pixel_format, sharpness_stops=sharpness_stops)
    if method == "bicubic":
        from upscaler.filters.resize import Bicubic

        return Bicubic(size, upscaled, pixel_format)
    if method == "bicubic-matlab":
        from upscaler.filters.cubic import BicubicMatlab

        return BicubicMatlab(size, upscaled, pixel_format)
    from upscaler.filters.resize import Nearest

    return Nearest(size, upscaled, pixel_format)
