"""What the measures share: which pictures may be compared, the shaved border, and luma."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upscaler.contract import Frame

PEAK = 255
LUMA_WEIGHTS = (65.481, 128.553, 24.966)
"""Y of BT.601 in the studio range, for R, G and B in 0..1."""
LUMA_OFFSET = 16.0


def comparable(picture: Frame, reference: Frame, *, shave: int = 0) -> tuple[Frame, Frame]:
    """Return views of both pictures without the `shave` pixels nearest to each side.

    Both are uint8 of one shape, (H, W) or (H, W, channels). Raises ValueError for another dtype,
    or when the shapes differ, or when no pixel is left.
    """
    if picture.dtype != np.uint8 or reference.dtype != np.uint8:
        msg = f"only uint8 pictures are compared, not {picture.dtype} and {reference.dtype}"
        raise ValueError(msg)
    if picture.shape != reference.shape or not picture.size or picture.ndim not in (2, 3):
        msg = f"only two pictures of one shape are compared, not {picture.shape}, {reference.shape}"
        raise ValueError(msg)
    height, width = picture.shape[:2]
    if shave < 0 or 2 * shave >= min(height, width):
        msg = f"cannot shave {shave} pixels off each side of a picture of {width}x{height}"
        raise ValueError(msg)
    inside = slice(shave, height - shave), slice(shave, width - shave)
    return picture[inside], reference[inside]


def luma(picture: Frame) -> NDArray[np.float64]:
    """Return Y in 16..235, not rounded, as (H, W) float64 of (H, W, 3) uint8 RGB.

    This is what the literature on super-resolution measures on (MATLAB's rgb2ycbcr of doubles).
    Raises ValueError for another number of channels.
    """
    if picture.ndim != 3 or picture.shape[2] != 3:
        msg = f"luma is taken of (height, width, 3) RGB, not of shape {picture.shape}"
        raise ValueError(msg)
    return picture @ (np.array(LUMA_WEIGHTS) / PEAK) + LUMA_OFFSET
