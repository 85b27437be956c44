"""Structural similarity (Wang, Bovik, Sheikh and Simoncelli, 2004).

Around each pixel the two pictures are compared in mean, variance and covariance under a Gaussian
window of 11x11 with sigma 1.5; the result is the mean over all places where the window lies inside
the picture. K1 = 0.01, K2 = 0.03, a range of 255, and variances of the population: the numbers of
scikit-image's `structural_similarity` with `gaussian_weights=True, sigma=1.5,
use_sample_covariance=False, data_range=255`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upscaler.contract import Frame
from upscaler.metrics.pictures import PEAK, comparable, luma

WINDOW = 11
SIGMA = 1.5
MARGIN = WINDOW // 2
MEANS_FLOOR = np.float32((0.01 * PEAK) ** 2)
VARIANCES_FLOOR = np.float32((0.03 * PEAK) ** 2)

Plane = NDArray[np.float32]
"""(H, W) or (H, W, channels); a channel is a picture of its own."""


def ssim_rgb(picture: Frame, reference: Frame, *, shave: int = 0) -> float:
    """Return the mean SSIM of the channels, at most 1, which equal pictures have.

    Both are uint8 of one shape, (H, W) or (H, W, channels) in any order of channels; `shave` pixels
    at each side do not count.

    Raises ValueError for pictures that cannot be compared, or of which less than 11x11 is left.
    """
    picture, reference = comparable(picture, reference, shave=shave)
    return _mean_ssim(picture.astype(np.float32), reference.astype(np.float32))


def ssim_y(picture: Frame, reference: Frame, *, shave: int = 0) -> float:
    """Return the SSIM of BT.601 luma, unrounded in 16..235; at most 1, which equal pictures have.

    Both are (H, W, 3) uint8 RGB of one size; `shave` pixels at each side do not count.

    Raises ValueError for pictures that cannot be compared, or of which less than 11x11 is left.
    """
    picture, reference = comparable(picture, reference, shave=shave)
    return _mean_ssim(luma(picture).astype(np.float32), luma(reference).astype(np.float32))


def _mean_ssim(first: Plane, second: Plane) -> float:
    # float32 is within 3e-6 of float64 here, and a 1080p frame takes 0.35 s instead of 0.8 s.
    if min(first.shape[:2]) < WINDOW:
        msg = f"SSIM needs {WINDOW}x{WINDOW} pixels, not {first.shape[1]}x{first.shape[0]}"
        raise ValueError(msg)
    mean_first, mean_second = _blurred(first), _blurred(second)
    means = mean_first * mean_second
    squares = mean_first * mean_first + mean_second * mean_second
    covariance = _blurred(first * second) - means
    # Only the sum of the two variances matters, so one blur serves both.
    variances = _blurred(first * first + second * second) - squares
    similarity = (2 * means + MEANS_FLOOR) / (squares + MEANS_FLOOR)
    similarity *= (2 * covariance + VARIANCES_FLOOR) / (variances + VARIANCES_FLOOR)
    inside = similarity[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return float(inside.mean(dtype=np.float64))


def _blurred(plane: Plane) -> Plane:
    import cv2

    blurred: Plane = cv2.GaussianBlur(plane, (WINDOW, WINDOW), SIGMA)
    return blurred
