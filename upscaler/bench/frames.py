"""A real game frame of any size and format, for benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.images import read_image

FRAME = Path(__file__).parent.parent / "demo" / "clip" / "low.webp"


def game_frame(size: Size, pixel_format: PixelFormat) -> Frame:
    """Return the shipped 960x540 game frame, cut or repeated to `size`; alpha is 255."""
    return fitted(read_image(FRAME), size, pixel_format)


def fitted(bgr: Frame, size: Size, pixel_format: PixelFormat) -> Frame:
    """Cut or repeat a picture, (height, width, 3) blue first, to `size`; alpha is 255."""
    repeats = (-(-size.height // bgr.shape[0]), -(-size.width // bgr.shape[1]), 1)
    cut = np.tile(bgr, repeats)[: size.height, : size.width]
    colours = cut if pixel_format.blue_first else cut[:, :, ::-1]
    frame = np.full(size.shape(pixel_format), 255, np.uint8)
    frame[:, :, :3] = colours
    return frame
