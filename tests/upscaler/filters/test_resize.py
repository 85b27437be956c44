from __future__ import annotations

import numpy as np

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.filters.resize import Bicubic, Nearest


def test_nearest_repeats_pixels(frame: Frame) -> None:
    nearest = Nearest(Size(64, 36), Size(192, 108), PixelFormat.RGB8)
    result = np.empty(nearest.output_shape, np.uint8)
    nearest(frame, result)
    assert np.array_equal(result, frame.repeat(3, axis=0).repeat(3, axis=1))


def test_bicubic_follows_its_convention() -> None:
    """One bright pixel, so that the result is the product of the weights of a = -0.75."""
    source = np.zeros((9, 9, 3), np.uint8)
    source[4, 4] = 200
    bicubic = Bicubic(Size(9, 9), Size(18, 18), PixelFormat.RGB8)
    result = np.empty(bicubic.output_shape, np.uint8)
    bicubic(source, result)
    a = -0.75
    distances = np.abs((np.arange(18) + 0.5) / 2 - 0.5 - 4)
    near = (a + 2) * distances**3 - (a + 3) * distances**2 + 1
    far = a * distances**3 - 5 * a * distances**2 + 8 * a * distances - 4 * a
    weights = np.where(distances <= 1, near, np.where(distances < 2, far, 0))
    expected = np.clip(200 * np.outer(weights, weights), 0, 255)
    assert np.abs(result[:, :, 0] - expected).max() <= 1
