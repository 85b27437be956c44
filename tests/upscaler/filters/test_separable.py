"""`bicubic-matlab` against its definition, written out as matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.filters.separable import BicubicMatlab

SIZES = [
    (Size(40, 30), Size(80, 60)),
    (Size(40, 30), Size(60, 45)),
    (Size(7, 5), Size(21, 15)),
    (Size(2, 3), Size(7, 4)),
    (Size(1, 1), Size(4, 4)),
    (Size(9, 8), Size(9, 8)),
]


def upscale(source: Frame, upscaled: Size, pixel_format: PixelFormat = PixelFormat.RGB8) -> Frame:
    bicubic = BicubicMatlab(Size(source.shape[1], source.shape[0]), upscaled, pixel_format)
    result = np.empty(bicubic.output_shape, np.uint8)
    bicubic(source, result)
    return result


def keys(distance: float) -> float:
    """The kernel of Keys (1981) with a = -1/2, as he prints it."""
    s = abs(distance)
    if s < 1:
        return 1.5 * s**3 - 2.5 * s**2 + 1
    if s < 2:
        return -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2
    return 0.0


def matrix(side: int, upscaled: int) -> NDArray[np.float64]:
    """Weights (upscaled, side) by which a line becomes longer; outside it, it is mirrored."""
    weights = np.zeros((upscaled, side))
    mirrored = [*range(side), *reversed(range(side))]
    for target in range(upscaled):
        centre = (target + 0.5) * side / upscaled - 0.5
        for source in range(-4, side + 4):
            weights[target, mirrored[source % (2 * side)]] += keys(centre - source)
    return weights


@pytest.mark.parametrize(("size", "upscaled"), SIZES, ids=str)
def test_follows_its_definition(size: Size, upscaled: Size) -> None:
    source = np.random.default_rng(1).integers(0, 256, (size.height, size.width, 3), np.uint8)
    rows, columns = matrix(size.height, upscaled.height), matrix(size.width, upscaled.width)
    exact = np.einsum("ih,hwc,jw->ijc", rows, source.astype(float), columns, optimize=True)
    expected = np.floor(exact.clip(0, 255) + 0.5)
    # Sums in another order may fall on the other side of a tie between two levels.
    tie = np.abs(exact - np.floor(exact) - 0.5) < 1e-4
    result = upscale(source, upscaled)
    assert np.array_equal(result[~tie], expected[~tie])
    assert np.abs(result - expected).max() <= 1


def test_weights_add_up_to_one_at_every_position() -> None:
    for level in (0, 1, 128, 255):
        flat = np.full((5, 6, 3), level, np.uint8)
        assert np.all(upscale(flat, Size(19, 20)) == level)
