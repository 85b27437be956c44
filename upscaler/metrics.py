"""How close two pictures are."""

from __future__ import annotations

from math import inf, log10

import numpy as np

from upscaler.contract import Frame

PEAK = 255


def psnr_db(picture: Frame, reference: Frame) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels and channels; inf if equal.

    Both are uint8 of one shape, of any layout and channel order. The squared error is summed in
    integers, so the result is exact to the rounding of the logarithm; no border is shaved.

    Raises ValueError for another dtype, or when the shapes differ or are empty.
    """
    if picture.dtype != np.uint8 or reference.dtype != np.uint8:
        msg = f"PSNR is taken of uint8 pictures, not of {picture.dtype} and {reference.dtype}"
        raise ValueError(msg)
    if picture.shape != reference.shape or not picture.size:
        msg = f"PSNR needs two pictures of one shape, not {picture.shape} and {reference.shape}"
        raise ValueError(msg)
    error = np.subtract(picture, reference, dtype=np.int32)
    np.square(error, out=error)
    squared = int(error.sum(dtype=np.int64))
    if squared == 0:
        return inf
    return 10.0 * log10(PEAK**2 * picture.size / squared)
