"""Low-resolution frames made from high-resolution ones, where no native render is at hand.

Three kinds, named in `DEGRADATIONS`:

- "bicubic" is MATLAB's `imresize`, by which super-resolution's photographs are made: Keys' cubic
  with a = -0.5, widened by the ratio against aliasing; first rows, then columns, each rounded.
  Beyond the border the last pixel repeats: MATLAB mirrors there today, but the release that made
  the standard sets repeated, and so every value of Set5, Set14 and BSD100 at 2x comes out equal.
- "area" averages exactly the part of the frame that a low-resolution pixel covers.
- "point" takes the colour at the centre of each low-resolution pixel and filters nothing, as a
  rasteriser does: the aliasing of a native render.

At 3x the centre of a low-resolution pixel is that of a high-resolution one, which "point" copies.
At 1.5x, 2x and 4x most centres fall between pixels, and the narrow cubic with a = -0.5 interpolates
there. It was chosen by 14 native test renders of three games beside each degradation of their
high-resolution renders. Energy is the mean difference in dB of the luma spectrum to the native
render's, at 0.25..0.375 and above 0.375 cycles a pixel; PSNR is of RGB:

                          2x                          1.5x
    bicubic        -0.9   -3.8 dB   33.88 dB   -1.0   -3.9 dB   35.12 dB
    area           -0.5   -1.4      33.90      -1.4   -3.1      35.19
    bilinear point -0.5   -1.4      33.90      -1.0   -2.2      35.22
    point, -0.5    +0.6   +0.6      33.37      +0.3   +0.0      34.77
    point, -0.75   +1.2   +1.4      32.98      +0.7   +0.6      34.58
    nearest pixel  +1.4   +2.0      30.3       +1.0   +1.0      30.4

PSNR prefers what is soft, for native renders and degradations differ in where each edge falls; what
a network for native renders has to learn is their aliasing, and that is the energy. The nearest
pixel would besides move the picture by half a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadRequestError
from upscaler.contract import Frame

Degradation = Literal["bicubic", "area", "point"]
DEGRADATIONS: tuple[Degradation, ...] = get_args(Degradation)

A = -0.5
SUPPORT = 2
"""Reach of Keys' cubic to each side, in samples."""


def parse_degradation(text: str) -> Degradation:
    """Return the degradation named by `text`; raises BadRequestError for any other text."""
    for kind in DEGRADATIONS:
        if text == kind:
            return kind
    msg = f"unknown degradation {text!r}; choose one of {', '.join(DEGRADATIONS)}"
    raise BadRequestError(msg)


def fitting(high_hwc_u8: Frame, scale: Fraction) -> Frame:
    """Return a view whose sides are multiples of the scale's numerator.

    What is too much goes at the right and at the bottom, so that pixel (0, 0) stays. Raises
    ValueError when nothing is left.
    """
    height, width = (side - side % scale.numerator for side in high_hwc_u8.shape[:2])
    if not height or not width:
        msg = f"a frame of {high_hwc_u8.shape[1]}x{high_hwc_u8.shape[0]} is too small for {scale}x"
        raise ValueError(msg)
    return high_hwc_u8[:height, :width]


def degrade(high_hwc_u8: Frame, scale: Fraction, kind: Degradation) -> Frame:
    """Return the frame `scale` times smaller, (H / scale, W / scale, C) uint8.

    `high_hwc_u8` is (H, W, C) uint8 of any channel order; where its sides are no multiples of the
    scale's numerator, it is cropped as by `fitting`. Centres of pixels stay aligned: the low pixel
    (y, x) lies at ((y, x) + 1/2) * scale - 1/2 of the high frame. Raises ValueError for a frame
    that is too small.
    """
    high = fitting(high_hwc_u8, scale)
    height, width = (int(side / scale) for side in high.shape[:2])
    if kind == "area":
        import cv2

        averaged: Frame = cv2.resize(high, (width, height), interpolation=cv2.INTER_AREA)
        return averaged
    widened = float(scale) if kind == "bicubic" else 1.0
    shrunk = _shrink_rows(high, height, widened=widened)
    return _shrink_rows(shrunk.swapaxes(0, 1), width, widened=widened).swapaxes(0, 1).copy()


def _shrink_rows(image: Frame, rows: int, *, widened: float) -> Frame:
    """Resample (H, W, C) uint8 to `rows` rows by the cubic, stretched by `widened`."""
    side = image.shape[0]
    pixels = image.reshape(side, -1).astype(np.float32)
    shrunk = np.empty((rows, pixels.shape[1]), np.float32)
    for row, (taps, weights) in enumerate(_taps(side, rows, widened)):
        # At 2x exact in float32, in whatever order it is summed.
        np.matmul(weights, pixels[taps], out=shrunk[row])
    shrunk += 0.5
    np.floor(shrunk, out=shrunk)
    return shrunk.clip(0, 255).astype(np.uint8).reshape(rows, *image.shape[1:])


def _taps(side: int, shrunk: int, widened: float) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield, for each of `shrunk` samples, which of `side` make it and their weights."""
    reach = SUPPORT * widened
    count = int(np.ceil(2 * reach))
    for sample in range(shrunk):
        centre = (sample + 0.5) * side / shrunk - 0.5
        first = int(np.floor(centre - reach)) + 1
        taps = np.arange(first, first + count)
        distance = np.abs(centre - taps) / widened
        near = (A + 2) * distance**3 - (A + 3) * distance**2 + 1
        far = A * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weights = np.where(distance <= 1, near, np.where(distance < SUPPORT, far, 0))
        # The border repeats its last pixel, which so has the weight of all taps beyond it.
        start, stop = max(first, 0), min(first + count, side)
        folded = np.bincount(taps.clip(0, side - 1) - start, weights, minlength=stop - start)
        yield slice(start, stop), (folded / weights.sum()).astype(np.float32)
