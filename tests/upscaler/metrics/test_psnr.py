from __future__ import annotations

from collections.abc import Callable
from math import inf, log10

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from upscaler.contract import Frame
from upscaler.metrics.psnr import psnr_db, psnr_y_db

Measure = Callable[..., float]
SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=24)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.uint8, (*shape, 3))] * 2))


def noise(shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (120, 90, 4), (64, 64)])
def test_agrees_with_scikit_image(shape: tuple[int, ...]) -> None:
    first, second = noise(shape, seed=1), noise(shape, seed=2)
    assert psnr_db(first, second) == pytest.approx(
        peak_signal_noise_ratio(first, second, data_range=255), abs=1e-9
    )


def test_one_level_everywhere_is_48_db() -> None:
    dark = np.full((9, 9, 3), 17, np.uint8)
    assert psnr_db(dark, dark + 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr_db(dark + 1, dark) == psnr_db(dark, dark + 1)


def test_black_against_white_is_0_db() -> None:
    black = np.zeros((2000, 3000, 3), np.uint8)
    assert psnr_db(black, 255 - black) == 0.0


def test_equal_pictures_are_infinitely_close() -> None:
    picture = noise((16, 16, 3), seed=3)
    assert psnr_db(picture, picture.copy()) == inf


def test_layout_does_not_matter() -> None:
    first, second = noise((8, 10, 3), seed=4), noise((8, 10, 3), seed=5)
    assert psnr_db(first[:, :, ::-1], second[:, :, ::-1]) == psnr_db(first, second)


def test_leaves_its_inputs_alone() -> None:
    first, second = noise((8, 8, 3), seed=6), noise((8, 8, 3), seed=7)
    before = first.copy(), second.copy()
    psnr_db(first, second)
    assert np.array_equal(first, before[0])
    assert np.array_equal(second, before[1])


@pytest.mark.parametrize("measure", [psnr_db, psnr_y_db])
def test_a_shaved_border_does_not_count(measure: Measure, native: Frame, noisy: Frame) -> None:
    framed = noisy.copy()
    framed[:3] = framed[-3:] = 0
    framed[:, :3] = framed[:, -3:] = 255
    inside = slice(3, -3), slice(3, -3)
    assert measure(framed, native, shave=3) == measure(noisy[inside], native[inside])
    assert measure(framed, native, shave=2) < measure(noisy, native, shave=2)


def test_luma_of_black_against_white() -> None:
    black = np.zeros((5, 5, 3), np.uint8)
    assert psnr_y_db(black, 255 - black) == pytest.approx(20 * log10(255 / 219))


def test_equal_pictures_have_equal_luma(native: Frame) -> None:
    assert psnr_y_db(native, native.copy()) == inf


@given(pair=PAIRS)
def test_luma_agrees_with_scikit_image(pair: tuple[Frame, Frame]) -> None:
    first, second = (rgb2ycbcr(each)[:, :, 0] for each in pair)
    assume(np.abs(first - second).max() > 1e-6)
    expected = peak_signal_noise_ratio(first, second, data_range=255)
    assert psnr_y_db(*pair) == pytest.approx(expected, abs=1e-3)


def test_the_order_of_channels_matters_to_luma(native: Frame, noisy: Frame) -> None:
    assert psnr_y_db(noisy[..., ::-1], native[..., ::-1]) != psnr_y_db(noisy, native)


@pytest.mark.parametrize("other", [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_refuses_another_shape_or_dtype(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="are compared, not"):
        psnr_db(np.zeros((4, 4, 3), np.uint8), other)


def test_refuses_empty_pictures() -> None:
    empty = np.zeros((0, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        psnr_db(empty, empty)
