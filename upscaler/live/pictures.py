"""Pictures for the page: encoded, and both sides of the wipe in one message.

A message is four bytes, the length of what follows in big-endian order; JSON of that length; and
the bytes of the left and of the right picture, as long as the JSON says. A right picture of no
bytes is the same as the left one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from protocol.errors import BadImageError
from protocol.frames import PixelFormat
from upscaler.contract import Frame

QUALITY = 92
FULL_COLOUR = 0x111111
"""Chroma for every pixel: edges of colour are what methods differ in."""


class Side(msgspec.Struct, kw_only=True):
    """One picture of a message. `ms` is the upscaler's time, None where nothing was upscaled."""

    method: str
    type: str = ""
    bytes: int = 0
    ms: float | None = None
    error: str = ""


class FrameHead(msgspec.Struct, kw_only=True):
    """The JSON of a message: which frame, at which time of the source, and its two pictures."""

    id: int
    time_s: float
    width: int
    height: int
    sides: list[Side]


def to_bgr(pixels: Frame, pixel_format: PixelFormat) -> Frame:
    """Return (height, width, 3) uint8, blue first; alpha is left out, and what is bgr8 stays."""
    import cv2

    codes = {
        PixelFormat.RGB8: cv2.COLOR_RGB2BGR,
        PixelFormat.RGBA8: cv2.COLOR_RGBA2BGR,
        PixelFormat.BGRA8: cv2.COLOR_BGRA2BGR,
    }
    code = codes.get(pixel_format)
    converted: Frame = pixels if code is None else cv2.cvtColor(pixels, code)
    return converted


def encode_jpeg(bgr: Frame) -> bytes:
    """Encode a moving picture: quick, and hardly to be told from the exact one."""
    import cv2

    parameters = [
        cv2.IMWRITE_JPEG_QUALITY,
        QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        FULL_COLOUR,
    ]
    return _encoded(".jpg", bgr, parameters)


def encode_png(bgr: Frame) -> bytes:
    """Encode a picture that stays: exact."""
    import cv2

    return _encoded(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def encode_message(head: FrameHead, pictures: Sequence[bytes]) -> bytes:
    """Return one message; `pictures` are the left one's bytes and the right one's, or none."""
    text = msgspec.json.encode(head)
    return b"".join([len(text).to_bytes(4, "big"), text, *pictures])


def decode_message(message: bytes) -> tuple[FrameHead, list[bytes]]:
    """Read a message again; the right picture is the left one where it has no bytes."""
    length = int.from_bytes(message[:4], "big")
    head = msgspec.json.decode(message[4 : 4 + length], type=FrameHead)
    at, pictures = 4 + length, []
    for side in head.sides:
        pictures.append(message[at : at + side.bytes])
        at += side.bytes
    return head, pictures


def _encoded(suffix: str, bgr: Frame, parameters: list[int]) -> bytes:
    import cv2

    written, encoded = cv2.imencode(suffix, np.ascontiguousarray(bgr), parameters)
    if not written:
        msg = f"OpenCV cannot write {suffix}"
        raise BadImageError(msg)
    return bytes(encoded.data)
