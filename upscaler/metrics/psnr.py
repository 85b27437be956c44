"""Peak signal-to-noise ratio, of all channels or of luma."""

from __future__ import annotations

from math import inf, log10

import numpy as np

from upscaler.contract import Frame
from upscaler.metrics.pictures import PEAK, comparable, luma


def psnr_db(picture: Frame, reference: Frame, *, shave: int = 0) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels and channels; inf if equal.

    Both are uint8 of one shape, of any layout and channel order; `shave` pixels at each side do not
    count. The squared error is summed in integers, so the result is exact to the rounding of the
    logarithm.

    Raises ValueError for pictures that cannot be compared, or of which nothing is left.
    """
    picture, reference = comparable(picture, reference, shave=shave)
    error = np.subtract(picture, reference, dtype=np.int32)
    np.square(error, out=error)
    squared = int(error.sum(dtype=np.int64))
    if squared == 0:
        return inf
    return 10.0 * log10(PEAK**2 * picture.size / squared)


def psnr_y_db(picture: Frame, reference: Frame, *, shave: int = 0) -> float:
    """Return the PSNR in dB of BT.601 luma; inf if equal.

    Both are (H, W, 3) uint8 RGB of one size; `shave` pixels at each side do not count. Luma lies in
    16..235, is not rounded, and has a peak of 255 nevertheless, as in the literature.

    Raises ValueError for pictures that cannot be compared, or of which nothing is left.
    """
    picture, reference = comparable(picture, reference, shave=shave)
    squared = float(np.mean(np.square(luma(picture) - luma(reference))))
    if squared == 0:
        return inf
    return 10.0 * log10(PEAK**2 / squared)
