from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.metrics import structural_similarity

from upscaler.contract import Frame
from upscaler.metrics.pictures import luma
from upscaler.metrics.ssim import ssim_rgb, ssim_y

Measure = Callable[..., float]
SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=11, max_side=24)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.uint8, (*shape, 3))] * 2))


def oracle(first: np.ndarray, second: np.ndarray) -> float:
    return float(
        structural_similarity(
            first,
            second,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2 if first.ndim == 3 else None,
        )
    )


@given(pair=PAIRS)
def test_agrees_with_scikit_image(pair: tuple[Frame, Frame]) -> None:
    assert ssim_rgb(*pair) == pytest.approx(oracle(*pair), abs=1e-9)
    assert ssim_y(*pair) == pytest.approx(oracle(*map(luma, pair)), abs=1e-9)


@pytest.mark.parametrize("height", [11, 41, 42, 43, 53, 74, 75])
def test_strips_leave_no_seam(native: Frame, noisy: Frame, height: int) -> None:
    expected = oracle(noisy[:height], native[:height])
    assert ssim_rgb(noisy[:height], native[:height]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("level", [0, 128, 254])
def test_flat_pictures_lose_no_precision(level: int) -> None:
    """Variances are small differences of large numbers there."""
    flat = np.full((90, 120, 3), level, np.uint8)
    dotted = flat.copy()
    dotted[::7, ::5] += 1
    assert ssim_rgb(dotted, flat) == pytest.approx(oracle(dotted, flat), abs=1e-9)


def test_a_real_frame(native: Frame, noisy: Frame) -> None:
    assert ssim_rgb(noisy, native) == pytest.approx(oracle(noisy, native), abs=1e-9)
    assert ssim_y(noisy, native) == pytest.approx(oracle(luma(noisy), luma(native)), abs=1e-9)
    assert ssim_rgb(noisy, native) == ssim_rgb(native, noisy)


@pytest.mark.parametrize("measure", [ssim_rgb, ssim_y])
def test_equal_pictures_have_one(measure: Measure, native: Frame) -> None:
    assert measure(native, native.copy()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("measure", [ssim_rgb, ssim_y])
def test_a_shaved_border_does_not_count(measure: Measure, native: Frame, noisy: Frame) -> None:
    framed = noisy.copy()
    framed[:3] = framed[-3:] = 0
    framed[:, :3] = framed[:, -3:] = 255
    inside = slice(3, -3), slice(3, -3)
    assert measure(framed, native, shave=3) == measure(noisy[inside], native[inside])


def test_the_window_must_fit() -> None:
    narrow = np.zeros((40, 12, 3), np.uint8)
    ssim_rgb(narrow, narrow)
    with pytest.raises(ValueError, match="SSIM needs 11x11 pixels, not 10x38"):
        ssim_rgb(narrow, narrow, shave=1)
