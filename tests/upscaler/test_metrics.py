from __future__ import annotations

from math import inf

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from upscaler.metrics import psnr_db


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


@pytest.mark.parametrize("other", [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_refuses_another_shape_or_dtype(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="PSNR"):
        psnr_db(np.zeros((4, 4, 3), np.uint8), other)


def test_refuses_empty_pictures() -> None:
    empty = np.zeros((0, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        psnr_db(empty, empty)
