"""What a frame is: pixel formats, sizes, exact scales and the limits on them.

Pixels are uint8 in sRGB, rows from the top, channels interleaved. Limits are checked before
anything is allocated.
"""

from __future__ import annotations

from enum import IntEnum
from fractions import Fraction

import msgspec

from protocol.errors import BadRequestError, ErrorCode

SCALES = (Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4))
"""Scales that networks are made for; the result's sides are exact multiples."""
MODES = {
    "ultra-quality": Fraction(13, 10),
    "quality": Fraction(3, 2),
    "balanced": Fraction(17, 10),
    "performance": Fraction(2),
}
"""The names that FSR1 gives to ratios."""
MAX_SCALE = 4
MAX_DENOMINATOR = 1000
MAX_SIDE = 8192
"""Longest side of an input or output frame, in pixels."""
MAX_PIXELS = 7680 * 4320
"""Most pixels of an input or output frame: one 8K frame."""


class PixelFormat(IntEnum):
    """Order of the channels in memory; one byte each."""

    RGB8 = 1
    BGR8 = 2
    RGBA8 = 3
    BGRA8 = 4

    @property
    def channels(self) -> int:
        """Bytes of one pixel: 3 or 4."""
        return 4 if self in (PixelFormat.RGBA8, PixelFormat.BGRA8) else 3

    @property
    def blue_first(self) -> bool:
        """Whether the first byte is blue."""
        return self in (PixelFormat.BGR8, PixelFormat.BGRA8)

    @property
    def label(self) -> str:
        """Name as users write it, such as "rgba8"."""
        return self.name.lower()


class Size(msgspec.Struct, frozen=True, order=True):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def shape(self, pixel_format: PixelFormat) -> tuple[int, int, int]:
        """NumPy shape (height, width, channels) of a frame of this size."""
        return (self.height, self.width, pixel_format.channels)


def parse_format(text: str) -> PixelFormat:
    """Return the pixel format named by `text`.

    Raises BadRequestError (UNSUPPORTED_FORMAT) for any other text.
    """
    try:
        return PixelFormat[text.upper()]
    except KeyError as error:
        offered = ", ".join(pixel_format.label for pixel_format in PixelFormat)
        msg = f"unknown pixel format {text!r}; choose one of {offered}"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_FORMAT) from error


def parse_scale(text: str | float | Fraction) -> Fraction:
    """Return a ratio from 1 to 4 out of text or a number ("1.5", "3/2", 1.3, "balanced").

    Raises BadRequestError (UNSUPPORTED_SCALE) for anything else, and for more than three decimals.
    """
    if isinstance(text, str) and text.lower() in MODES:
        return MODES[text.lower()]
    # 1.3 means 13/10, and not the nearest binary fraction. Fraction("1e999999999") would compute
    # that number.
    known = text if isinstance(text, Fraction) else str(text)
    if isinstance(known, str) and (len(known) > 9 or "e" in known.lower()):
        known = "0"
    try:
        scale = Fraction(known)
    except (ValueError, ZeroDivisionError):
        scale = Fraction(0)
    if not 1 <= scale <= MAX_SCALE or scale.denominator > MAX_DENOMINATOR:
        msg = (
            f"unsupported scale {str(text)[:20]}; choose a ratio from 1 to {MAX_SCALE}, such as "
            f"1.5, or one of {', '.join(MODES)}"
        )
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
    return scale


def check_size(size: Size, *, what: str = "frame") -> None:
    """Raise BadRequestError (UNSUPPORTED_SIZE) unless the sides lie within the limits."""
    if size.width < 1 or size.height < 1:
        msg = f"a {what} of {size} has no pixels; both sides must be at least 1"
    elif max(size.width, size.height) > MAX_SIDE or size.pixels > MAX_PIXELS:
        msg = (
            f"a {what} of {size} is too large; the limit is {MAX_SIDE} pixels a side and "
            f"{MAX_PIXELS} pixels in all"
        )
    else:
        return
    raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SIZE)


def upscaled_size(size: Size, scale: Fraction) -> Size:
    """Return the output size: exact at 3/2, 2, 3 and 4; rounded to pixels at other ratios.

    Raises BadRequestError: UNSUPPORTED_SCALE for a ratio outside 1 to 4, and UNSUPPORTED_SIZE when
    a side is no multiple of the scale's denominator where it must be (1.5x needs even sides) or
    when input or output exceed the limits.
    """
    parse_scale(scale)
    check_size(size)
    block = scale.denominator
    if scale in SCALES and (size.width % block or size.height % block):
        msg = f"a scale of {float(scale):g} needs even sides, not {size}; crop or pad the frame"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SIZE)
    half = Fraction(1, 2)
    upscaled = Size(int(size.width * scale + half), int(size.height * scale + half))
    check_size(upscaled, what="result")
    return upscaled
