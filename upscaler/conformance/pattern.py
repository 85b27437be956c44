"""What the frames of the kit show, and how results are told apart."""

from __future__ import annotations

import zlib

import numpy as np

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame


def fill(frame_hwc_u8: Frame, seed: int) -> None:
    """Fill a frame, whose rows may lie apart, with the pattern of `seed`.

    Byte x of row y is (seed*31 + x*3 + y*5 + ((x*y) >> 3)) & 255, x counting bytes.
    """
    height, width, channels = frame_hwc_u8.shape
    y, x = np.ogrid[:height, : width * channels]
    rows = (seed * 31 + x * 3 + y * 5 + ((x * y) >> 3)) & 255
    frame_hwc_u8[...] = rows.reshape(height, width, channels)


def pattern(seed: int, size: Size, pixel_format: PixelFormat) -> Frame:
    """Return the pattern of `seed` as (height, width, channels) uint8."""
    frame = np.empty(size.shape(pixel_format), np.uint8)
    fill(frame, seed)
    return frame


def checksum(pixels_hwc_u8: Frame) -> str:
    """CRC-32 of the rows without what lies between them, eight hexadecimal digits."""
    return f"{zlib.crc32(np.ascontiguousarray(pixels_hwc_u8).data):08x}"
