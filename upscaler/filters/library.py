"""The filters by name. Their libraries load when a filter is made."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import MAX_SCALE, PixelFormat, Size, check_size
from upscaler.contract import Upscaler
from upscaler.filters.options import (
    DEFAULT_SHARPNESS_STOPS,
    MAX_NIS_SCALE,
    Fsr1Options,
    NisOptions,
    check_no_options,
    split_method,
)

FILTERS = (
    "fsr1",
    "easu",
    "sgsr1",
    "nis",
    "bicubic",
    "bicubic-matlab",
    "lanczos",
    "bilinear",
    "nearest",
)
SHARPENED = "fsr1"
"""The filter that the `sharpness_stops` of a request concern."""


def is_filter(method: str) -> bool:
    """Whether `method`, with or without options, names a filter."""
    return method.partition(":")[0] in FILTERS


def filters_at(scale: Fraction) -> list[str]:
    """Filters that upscale by this ratio from 1 to 4: all, but for NIS beyond 2."""
    return [name for name in FILTERS if name != "nis" or scale <= MAX_NIS_SCALE]


def check_filter_name(method: str) -> None:
    """Raise BadRequestError (UNKNOWN_METHOD) unless a filter is called `method`; loads nothing."""
    if not is_filter(method):
        msg = f"unknown method {method!r}; choose one of {', '.join(FILTERS)}"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD)


def check_filter_options(method: str) -> None:
    """Raise BadRequestError for a filter, or an option of it, that is unknown; loads nothing."""
    check_filter_name(method)
    name, given = split_method(method)
    if name == "fsr1":
        Fsr1Options.parse(given, sharpness_stops=DEFAULT_SHARPNESS_STOPS)
    elif name == "nis":
        NisOptions.parse(given)
    else:
        check_no_options(name, given)


def make_filter(
    method: str,
    size: Size,
    upscaled: Size,
    pixel_format: PixelFormat,
    *,
    sharpness_stops: float = DEFAULT_SHARPNESS_STOPS,
) -> Upscaler:
    """Make a filter from `size` to `upscaled`, each side 1 to 4 times as long.

    `method` may carry options, as in "fsr1:stops=0.5,limiter=1.0" (see `upscaler.filters.options`);
    `sharpness_stops` is FSR1's where they say nothing. The first frame takes as long as the others:
    what has to be loaded, allocated and started is so when this returns.

    Raises BadRequestError for an unknown method or option, a size or ratio out of range, or a value
    out of range.
    """
    check_filter_name(method)
    check_size(size)
    check_size(upscaled, what="result")
    sides = ((size.width, upscaled.width), (size.height, upscaled.height))
    if not all(side <= long <= MAX_SCALE * side for side, long in sides):
        msg = f"{size} to {upscaled} is out of range; each side may grow 1 to {MAX_SCALE} times"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
    made = _maker(method, sharpness_stops)(size, upscaled, pixel_format)
    _warm_up(made)
    return made


def _warm_up(made: Upscaler) -> None:
    """Load code, start threads and touch memory, so that the first frame need not."""
    import numpy as np

    made(np.zeros(made.input_shape, np.uint8), np.empty(made.output_shape, np.uint8))


def _maker(method: str, stops: float) -> Callable[[Size, Size, PixelFormat], Upscaler]:
    name, given = split_method(method)
    if name == "fsr1":
        from upscaler.filters.fsr1 import Fsr1

        options = Fsr1Options.parse(given, sharpness_stops=stops)
        return partial(Fsr1, options=options)
    if name == "nis":
        from upscaler.filters.nis import Nis

        sharpness = NisOptions.parse(given).sharpness
        return partial(Nis, sharpness=sharpness)
    check_no_options(name, given)
    if name == "easu":
        from upscaler.filters.fsr1 import Easu

        return Easu
    if name == "sgsr1":
        from upscaler.filters.sgsr1 import Sgsr1

        return Sgsr1
    if name in {"bicubic-matlab", "lanczos"}:
        from upscaler.filters import separable

        return separable.BicubicMatlab if name == "bicubic-matlab" else separable.Lanczos
    from upscaler.filters import resize

    return {"bicubic": resize.Bicubic, "bilinear": resize.Bilinear}.get(name, resize.Nearest)
