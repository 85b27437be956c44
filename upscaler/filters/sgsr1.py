"""Snapdragon Game Super Resolution 1, the variant with edge direction.

Follows Qualcomm's `sgsr1_shader_mobile.frag`. Without edge direction the published shader's weights
saturate, and its result falls below bilinear: that variant is not offered. Input must be perceptual
(sRGB). Alpha comes back opaque.
"""

from __future__ import annotations

import numpy as np

from protocol.frames import PixelFormat, Size
from upscaler.bands import BANDS, in_bands
from upscaler.contract import Frame, check_frames
from upscaler.filters import easu_kernels, sgsr1_kernels
from upscaler.filters.positions import centred
from upscaler.machine import cpu_name


class Sgsr1:
    """SGSR1 for one size, ratio and format."""

    name = "sgsr1"
    engine = "numba"
    emulated = False

    def __init__(self, size: Size, upscaled: Size, pixel_format: PixelFormat) -> None:
        self.device = f"CPU: {cpu_name()}"
        self.input_shape = size.shape(pixel_format)
        self.output_shape = upscaled.shape(pixel_format)
        self._blue_first = pixel_format.blue_first
        margin = 2 * easu_kernels.MARGIN
        height, width = size.height + margin, size.width + margin
        self._colours = np.zeros((height, 3, width), np.float32)
        self._light = np.zeros((height, width), np.float32)
        columns = centred(size.width, upscaled.width)
        rows = centred(size.height, upscaled.height)
        self._axes = (
            columns.passes.astype(np.float32),
            columns.order,
            rows.whole,
            rows.fraction.astype(np.float32),
        )
        self._scratch = [
            (
                np.zeros((3, *columns.passes.shape), np.float32),
                np.zeros((3, upscaled.width), np.float32),
            )
            for _ in range(BANDS)
        ]

    def __call__(self, src: Frame, dst: Frame) -> None:
        """Upscale `src` into `dst`, uint8 of `input_shape` and `output_shape`."""
        check_frames(self, src, dst)
        source, result = (each.reshape(each.shape[0], -1) for each in (src, dst))
        in_bands(
            lambda _, start, stop: easu_kernels.expand_rows(
                source, self._blue_first, self._colours, self._light, start, stop
            ),
            0,
            self._light.shape[0],
        )
        in_bands(
            lambda band, start, stop: sgsr1_kernels.sgsr1_rows(
                self._colours, *self._axes, *self._scratch[band], result, start, stop
            ),
            0,
            dst.shape[0],
        )

    def close(self) -> None:
        """Nothing is held."""
