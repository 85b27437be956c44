from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.errors import BadRequestError
from trainer.data import read_rgb
from trainer.degrade import DEGRADATIONS, Degradation, degrade, fitting, parse_degradation

ONE_AND_A_HALF, TWO, THREE, FOUR = Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4)
SCALES = (ONE_AND_A_HALF, TWO, THREE, FOUR)
SET5 = Path(__file__).parents[3] / "shared" / "data" / "sr" / "Set5_x2"

every_kind = pytest.mark.parametrize("kind", DEGRADATIONS)
every_scale = pytest.mark.parametrize("scale", SCALES, ids=str)


def noise(height: int, width: int, *, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def by_hand(image: NDArray[np.uint8], taps: NDArray[np.float64], first: int) -> NDArray[np.uint8]:
    """Weigh, at 2x, rows and then columns; row 0 begins at `first`, and borders repeat."""
    for _ in range(2):
        side = image.shape[0]
        rows = [
            sum(w * image[min(max(2 * row + first + n, 0), side - 1)] for n, w in enumerate(taps))
            for row in range(side // 2)
        ]
        image = np.floor(np.stack(rows) + 0.5).clip(0, 255).astype(np.uint8).swapaxes(0, 1)
    return image


@pytest.mark.skipif(not SET5.is_dir(), reason="needs ../shared/data")
def test_bicubic_is_that_of_the_standard_sets() -> None:
    highs = sorted(SET5.glob("*_HR.png"))
    assert len(highs) == 5
    for path in highs:
        low = read_rgb(path.with_name(path.name.replace("_HR", "_LR")))
        assert np.array_equal(degrade(read_rgb(path), TWO, "bicubic"), low), path.name


def test_weights_of_bicubic_at_2x() -> None:
    taps = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    image = noise(20, 26)
    assert np.array_equal(degrade(image, TWO, "bicubic"), by_hand(image, taps, -3))


def test_weights_of_point_at_2x() -> None:
    taps = np.array([-1, 9, 9, -1]) / 16
    image = noise(20, 26)
    assert np.array_equal(degrade(image, TWO, "point"), by_hand(image, taps, -1))


def test_point_at_3x_copies_the_pixel_in_the_middle() -> None:
    image = noise(21, 30)
    assert np.array_equal(degrade(image, THREE, "point"), image[1::3, 1::3])


@pytest.mark.parametrize("side", [2, 3, 4])
def test_area_is_the_mean_of_a_block(side: int) -> None:
    image = noise(12, 24)
    mean = image.reshape(12 // side, side, 24 // side, side, 3).mean((1, 3))
    assert np.abs(degrade(image, Fraction(side), "area") - mean).max() <= 0.5


def test_area_at_1_5x_cuts_pixels_in_half() -> None:
    image = np.array([[0, 90, 255] * 2] * 3, np.uint8)[:, :, None].repeat(3, axis=2)
    low = degrade(image, ONE_AND_A_HALF, "area")
    assert low[:, :, 0].tolist() == [[30, 200] * 2] * 2


@every_kind
@every_scale
def test_a_flat_frame_stays(kind: Degradation, scale: Fraction) -> None:
    low = degrade(np.full((24, 36, 3), 201, np.uint8), scale, kind)
    assert low.shape == (24 / scale, 36 / scale, 3)
    assert low.dtype == np.uint8
    assert (low == 201).all()


@every_kind
@every_scale
def test_centres_of_pixels_stay_aligned(kind: Degradation, scale: Fraction) -> None:
    ramp = np.arange(72, dtype=np.uint8) * 3
    image = np.broadcast_to(ramp[None, :, None], (72, 72, 3))
    for low in (degrade(image, scale, kind)[5], degrade(image.swapaxes(0, 1), scale, kind)[:, 5]):
        centres = (np.arange(72 / scale) + 0.5) * float(scale) - 0.5
        inside = slice(4, -4)  # the border repeats, and so bends the ramp
        assert np.abs(low[inside, 0] - 3 * centres[inside]).max() <= 0.51


@every_kind
@every_scale
def test_a_mirrored_frame_gives_a_mirrored_result(kind: Degradation, scale: Fraction) -> None:
    image = noise(24, 36, seed=2)
    low = degrade(image, scale, kind).astype(int)
    mirrored = degrade(image[::-1, ::-1], scale, kind)[::-1, ::-1]
    assert np.abs(low - mirrored).max() <= 1  # where a half is rounded up


@every_kind
def test_colours_do_not_mix_and_the_frame_is_left_alone(kind: Degradation) -> None:
    image = noise(24, 24)
    before = image.copy()
    low = degrade(image, ONE_AND_A_HALF, kind)
    assert low.flags.c_contiguous
    assert np.array_equal(image, before)
    assert np.array_equal(degrade(image[:, :, ::-1], ONE_AND_A_HALF, kind), low[:, :, ::-1])


def test_point_keeps_the_aliasing_that_the_others_filter() -> None:
    stripes = np.zeros((24, 24, 3), np.uint8)
    stripes[:, 1::3] = 255
    contrast = {kind: int(np.ptp(degrade(stripes, TWO, kind))) for kind in DEGRADATIONS}
    assert contrast["point"] > contrast["area"] > contrast["bicubic"]


@every_kind
@every_scale
def test_a_frame_of_other_sides_is_cropped(kind: Degradation, scale: Fraction) -> None:
    image = noise(25, 37)
    kept = image[:24, :36]
    assert np.array_equal(fitting(image, scale), kept)
    assert fitting(image, scale).base is image
    assert np.array_equal(degrade(image, scale, kind), degrade(kept, scale, kind))


@every_kind
def test_a_frame_that_is_too_small_is_refused(kind: Degradation) -> None:
    with pytest.raises(ValueError, match="5x2 is too small for 3x"):
        degrade(noise(2, 5), THREE, kind)
    assert degrade(noise(3, 3), THREE, kind).shape == (1, 1, 3)


def test_degradations_have_names() -> None:
    assert [parse_degradation(kind) for kind in DEGRADATIONS] == ["bicubic", "area", "point"]
    with pytest.raises(BadRequestError, match="'lanczos'; choose one of bicubic, area, point"):
        parse_degradation("lanczos")
