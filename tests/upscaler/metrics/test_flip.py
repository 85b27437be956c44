from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import inf

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from upscaler.bench.frames import FRAME
from upscaler.contract import Frame
from upscaler.images import read_image
from upscaler.metrics.flip import PIXELS_PER_DEGREE, FlipReference, flip_map, flip_mean


@pytest.fixture(scope="session")
def random_pictures() -> tuple[Frame, Frame]:
    first, second = np.random.default_rng(2).integers(0, 256, (2, 61, 83, 3), np.uint8)
    return first, second


def map_by_the_tool(
    picture: Frame, reference: Frame, pixels_per_degree: float = PIXELS_PER_DEGREE
) -> NDArray[np.float32]:
    flip_evaluator = pytest.importorskip("flip_evaluator")
    first, second = (np.float32(each) / np.float32(255) for each in (reference, picture))
    errors: NDArray[np.float32]
    errors, _, _ = flip_evaluator.evaluate(
        first, second, "LDR", applyMagma=False, parameters={"ppd": pixels_per_degree}
    )
    return errors[:, :, 0]


def assert_is_what_the_tool_says(
    picture: Frame, reference: Frame, pixels_per_degree: float = PIXELS_PER_DEGREE
) -> None:
    ours = flip_map(picture, reference, pixels_per_degree=pixels_per_degree)
    theirs = map_by_the_tool(picture, reference, pixels_per_degree)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)
    assert ours.mean(dtype=np.float64) == pytest.approx(theirs.mean(dtype=np.float64), abs=3e-5)


def test_is_what_the_tool_says_by_default(native: Frame, noisy: Frame) -> None:
    flip_evaluator = pytest.importorskip("flip_evaluator")
    first, second = (np.float32(each) / np.float32(255) for each in (native, noisy))
    _, mean, parameters = flip_evaluator.evaluate(first, second, "LDR")
    assert parameters["ppd"] == pytest.approx(67, abs=0.1)
    assert flip_mean(noisy, native) == pytest.approx(mean, abs=3e-5)


def test_is_what_the_tool_says_of_an_upscaled_game_frame() -> None:
    native = np.ascontiguousarray(read_image(FRAME)[:, :, ::-1])
    height, width = native.shape[:2]
    low = cv2.resize(native, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    assert_is_what_the_tool_says(
        cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC), native
    )


# 1000 has filters that are larger than the pictures; at 5, no filter reaches beyond a neighbour.
@pytest.mark.parametrize("pixels_per_degree", [5, 10, 33.3, 67, 100, 250, 1000])
def test_is_what_the_tool_says_at_any_resolution(
    native: Frame, noisy: Frame, random_pictures: tuple[Frame, Frame], pixels_per_degree: float
) -> None:
    assert_is_what_the_tool_says(noisy, native, pixels_per_degree)
    assert_is_what_the_tool_says(*random_pictures, pixels_per_degree)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (2, 3), (9, 20)])
def test_is_what_the_tool_says_of_small_pictures(
    random_pictures: tuple[Frame, Frame], height: int, width: int
) -> None:
    first, second = random_pictures
    assert_is_what_the_tool_says(first[:height, :width], second[:height, :width])


@pytest.mark.parametrize(
    "colours",
    [
        ((0, 0, 0), (255, 255, 255)),
        ((0, 255, 0), (0, 0, 255)),
        ((0, 0, 0), (1, 1, 1)),
        ((254, 255, 255), (255, 255, 255)),
    ],
    ids=str,
)
def test_is_what_the_tool_says_of_one_colour(
    colours: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    first, second = (np.full((12, 15, 3), colour, np.uint8) for colour in colours)
    assert_is_what_the_tool_says(first, second)


def test_nothing_differs_more_than_green_and_blue() -> None:
    green, blue = (np.full((4, 4, 3), colour, np.uint8) for colour in ((0, 255, 0), (0, 0, 255)))
    assert flip_mean(green, blue) == pytest.approx(1, abs=1e-6)


def test_equal_pictures_do_not_differ(native: Frame) -> None:
    assert flip_mean(native, native.copy()) == 0


def test_the_map_shows_where(native: Frame) -> None:
    spotted = native.copy()
    spotted[60:64, 80:84] ^= 128
    errors = flip_map(spotted, native)
    assert errors.shape == native.shape[:2]
    assert errors.dtype == np.float32
    assert 0.2 < errors[62, 82] <= 1
    assert not errors[:50].any()  # equal surroundings: exactly 0
    assert not errors[:, 94:].any()
    assert flip_mean(spotted, native) == pytest.approx(float(errors.mean()), abs=1e-6)


def test_colours_are_red_first(native: Frame, noisy: Frame) -> None:
    swapped = flip_mean(noisy[..., ::-1], native[..., ::-1])
    assert swapped != flip_mean(noisy, native)


def test_from_further_away_less_is_seen(native: Frame, noisy: Frame) -> None:
    assert flip_mean(noisy, native, pixels_per_degree=120) < flip_mean(noisy, native)


def test_where_no_filter_sees_a_neighbour_the_resolution_does_not_matter(
    native: Frame, noisy: Frame
) -> None:
    at_one = flip_mean(noisy, native, pixels_per_degree=1)
    assert 0 < at_one < 1
    assert flip_mean(noisy, native, pixels_per_degree=1e-300) == at_one


def test_a_shaved_border_does_not_count(native: Frame, noisy: Frame) -> None:
    framed = noisy.copy()
    framed[:3] = framed[:, -3:] = 255
    inside = slice(3, -3), slice(3, -3)
    assert flip_mean(framed, native, shave=3) == flip_mean(noisy[inside], native[inside])


def test_one_reference_serves_many_pictures_and_threads(native: Frame, noisy: Frame) -> None:
    pictures = [noisy, noisy[..., ::-1].copy(), 255 - native, native] * 3
    for picture in pictures:
        picture.flags.writeable = False
    prepared = FlipReference(native, pixels_per_degree=50, shave=2)
    with ThreadPoolExecutor(4) as threads:
        maps = list(threads.map(prepared.map, pictures))
    for picture, errors in zip(pictures, maps, strict=True):
        alone = flip_map(picture, native, pixels_per_degree=50, shave=2)
        np.testing.assert_array_equal(errors, alone)


def test_refuses_what_it_cannot_see(native: Frame) -> None:
    with pytest.raises(ValueError, match="RGB, not"):
        flip_mean(native[..., 0], native[..., 0])
    with pytest.raises(ValueError, match="one shape"):
        flip_mean(native, native[1:])
    with pytest.raises(ValueError, match="uint8"):
        FlipReference(native).map(native.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot shave 60 pixels"):
        FlipReference(native, shave=60)
    for resolution in (0, -1, inf, float("nan")):
        with pytest.raises(ValueError, match="positive number of pixels per degree, not"):
            flip_mean(native, native, pixels_per_degree=resolution)


def test_the_compiled_loops_load_when_first_used() -> None:
    """Numba takes half a second to import, which no other measure needs."""
    says = "import sys, upscaler.metrics; print('numba' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", says], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "False"
