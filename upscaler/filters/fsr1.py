"""AMD FidelityFX Super Resolution 1.0.2: EASU upscales, 8 bits between, RCAS sharpens.

Follows `ffx_fsr1.h`, approximate reciprocals included, and equals the shader's output in
`tests/golden/fsr1` on every value. Input must be perceptual (sRGB), as game
frames are. FSR1 is a colour filter: alpha comes back opaque.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.bands import BANDS, in_bands
from upscaler.contract import Frame, check_frames
from upscaler.filters import fsr1_kernels as kernels
from upscaler.filters.library import DEFAULT_SHARPNESS_STOPS, check_sharpness
from upscaler.machine import cpu_name

Border = Literal["zero", "clamp"]


class Fsr1:
    """FSR 1.0.2 for one size, ratio and format.

    `sharpness_stops` is 0 at the sharpest; each stop halves it. `border` says what RCAS sees
    outside the picture: "zero", as AMD's sample does, or "clamp", as most ports do.
    """

    name = "fsr1"
    engine = "numba"
    emulated = False

    def __init__(
        self,
        size: Size,
        upscaled: Size,
        pixel_format: PixelFormat,
        *,
        sharpness_stops: float = DEFAULT_SHARPNESS_STOPS,
        border: Border = "zero",
    ) -> None:
        check_sharpness(sharpness_stops)
        if border not in ("zero", "clamp"):
            msg = f"unknown border {border!r}; choose zero or clamp"
            raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)
        self.device = f"CPU: {cpu_name()}"
        self.input_shape = size.shape(pixel_format)
        self.output_shape = upscaled.shape(pixel_format)
        self._blue_first = pixel_format.blue_first
        self._clamp = border == "clamp"
        self._strength = np.float32(2.0) ** np.float32(-sharpness_stops)
        margin = 2 * kernels.MARGIN
        padded = (size.height + margin, size.width + margin)
        self._packed = np.empty(padded, np.uint32)
        self._luma = np.empty(padded, np.float32)
        self._fields = np.empty((4, *padded), np.float32)
        self._columns, self._column_fractions = _positions(size.width, upscaled.width)
        self._rows, self._row_fractions = _positions(size.height, upscaled.height)
        # Outside the picture RCAS reads this border: zero until it is overwritten by a clamp.
        self._between = np.zeros((upscaled.height + 2, upscaled.width + 2), np.uint32)
        self._sharpened = np.empty((upscaled.height, upscaled.width), np.uint32)
        self._scratch = [
            (
                np.empty((kernels.TAPS, upscaled.width), np.uint32),
                np.empty((kernels.EDGES, upscaled.width), np.float32),
            )
            for _ in range(BANDS)
        ]

    def __call__(self, src: Frame, dst: Frame) -> None:
        """Upscale `src` into `dst`, uint8 of `input_shape` and `output_shape`."""
        check_frames(self, src, dst)
        self._easu(src)
        self._rcas(dst)

    def easu(self, src: Frame, dst: Frame) -> None:
        """Upscale by EASU alone, as a step to compare with the shader."""
        self._easu(src)
        inside = np.ascontiguousarray(self._between[1:-1, 1:-1])
        kernels.unpack_rows(inside, self._blue_first, dst, 0, dst.shape[0])

    def rcas(self, image: Frame, dst: Frame) -> None:
        """Sharpen `image` by RCAS alone; both are uint8 of `output_shape`."""
        red, blue = (2, 0) if self._blue_first else (0, 2)
        wide = image.astype(np.uint32)
        self._between[1:-1, 1:-1] = wide[:, :, red] | wide[:, :, 1] << 8 | wide[:, :, blue] << 16
        self._rcas(dst)

    def close(self) -> None:
        """Nothing is held."""

    def _easu(self, src: Frame) -> None:
        height, scratch = self.output_shape[0], self._scratch
        in_bands(
            lambda _, start, stop: kernels.pack_rows(
                src, self._blue_first, self._packed, self._luma, start, stop
            ),
            0,
            self._packed.shape[0],
        )
        in_bands(
            lambda _, start, stop: kernels.analyse_rows(self._luma, self._fields, start, stop),
            1,
            self._packed.shape[0] - 1,
        )
        in_bands(
            lambda band, start, stop: kernels.easu_rows(
                self._packed,
                self._fields,
                self._columns,
                self._column_fractions,
                self._rows,
                self._row_fractions,
                *scratch[band],
                self._between,
                start,
                stop,
            ),
            0,
            height,
        )

    def _rcas(self, dst: Frame) -> None:
        if self._clamp:
            image = self._between
            image[0, 1:-1], image[-1, 1:-1] = image[1, 1:-1], image[-2, 1:-1]
            image[:, 0], image[:, -1] = image[:, 1], image[:, -2]

        def sharpen(_: int, start: int, stop: int) -> None:
            kernels.rcas_rows(self._between, self._strength, self._sharpened, start, stop)
            kernels.unpack_rows(self._sharpened, self._blue_first, dst, start, stop)

        in_bands(sharpen, 0, dst.shape[0])


def _positions(side: int, upscaled: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Padded input position before each output pixel, and the fraction behind it (FsrEasuCon)."""
    ratio = np.float32(side) / np.float32(upscaled)
    offset = np.float32(0.5) * ratio - np.float32(0.5)
    position = np.arange(upscaled, dtype=np.float32) * ratio + offset
    whole = np.floor(position)
    return whole.astype(np.intp) + kernels.MARGIN, position - whole
