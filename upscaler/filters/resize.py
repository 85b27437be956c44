"""Bicubic, bilinear and nearest neighbour through OpenCV."""

from __future__ import annotations

import cv2

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame, check_frames
from upscaler.machine import cpu_name


class _Resize:
    engine = "opencv"
    emulated = False
    name: str
    interpolation: int

    def __init__(self, size: Size, upscaled: Size, pixel_format: PixelFormat) -> None:
        self.device = f"CPU: {cpu_name()}"
        self.input_shape = size.shape(pixel_format)
        self.output_shape = upscaled.shape(pixel_format)

    def __call__(self, src: Frame, dst: Frame) -> None:
        """Upscale `src` into `dst`; alpha is treated as a fourth colour."""
        check_frames(self, src, dst)
        cv2.resize(src, (dst.shape[1], dst.shape[0]), dst=dst, interpolation=self.interpolation)

    def close(self) -> None:
        """Nothing is held."""


class Bicubic(_Resize):
    """Bicubic with a = -0.75, clamped at the border."""

    name = "bicubic"
    interpolation = cv2.INTER_CUBIC


class Bilinear(_Resize):
    """Bilinear, clamped at the border."""

    name = "bilinear"
    interpolation = cv2.INTER_LINEAR


class Nearest(_Resize):
    """Nearest neighbour, by the centres of pixels.

    OpenCV's other nearest looks from the corners, which at 1.5x shifts the picture.
    """

    name = "nearest"
    interpolation = cv2.INTER_NEAREST_EXACT
