from __future__ import annotations

from fractions import Fraction
from math import hypot
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import upscaler
from trainer.checks import (
    SHIFT_LIMIT_PX,
    UNEXPLAINED_LIMIT,
    align,
    blank,
    frozen,
    resized,
    unexplained_detail,
)
from trainer.data import read_rgb
from trainer.degrade import DEGRADATIONS, Degradation, degrade
from upscaler.contract import Frame

TWO, ONE_AND_A_HALF = Fraction(2), Fraction(3, 2)
CLIP = Path(upscaler.__file__).parent / "demo" / "clip"
Renders = tuple[Frame, Frame]
Cuts = list[Renders]


@pytest.fixture(scope="module")
def renders() -> Renders:
    """A game's renders of one instant at 960x540 and 1920x1080."""
    return read_rgb(CLIP / "low.webp"), read_rgb(CLIP / "native.webp")


@pytest.fixture(scope="module")
def clip() -> list[Frame]:
    """Three consecutive frames, an instant of 1/30 s apart."""
    return [read_rgb(CLIP / "frames" / f"{number:06}.webp") for number in (310, 311, 312)]


def gradient(width: int, height: int, *, seed: int) -> NDArray[np.uint8]:
    """A smooth sky with dithering that no other frame has."""
    sky = np.linspace(60, 200, width)[None, :, None]
    dithering = np.random.default_rng(seed).normal(0, 0.8, (height, width, 3))
    return np.rint(sky + dithering).astype(np.uint8)


def test_native_renders_pass(cuts: Cuts) -> None:
    for low, high in cuts:
        assert blank(low) is None
        assert blank(high) is None
        alignment = align(low, high)
        assert alignment.reason is None
        assert alignment.note is None
        assert alignment.shift_px is not None
        assert hypot(*alignment.shift_px) < SHIFT_LIMIT_PX / 2
        assert resized(unexplained_detail(low, high, TWO)) is None


def test_native_renders_at_1_5x_pass(renders: Renders) -> None:
    large = renders[1][:480, :720]
    low, high = degrade(large, Fraction(3), "point"), degrade(large, TWO, "point")
    alignment = align(low, high)
    assert (alignment.reason, alignment.note) == (None, None)
    assert resized(unexplained_detail(low, high, ONE_AND_A_HALF)) is None


def test_black_frames_and_loading_screens_are_blank() -> None:
    black = np.zeros((50, 80, 3), np.uint8)
    black[:2, :20] = 255  # a spinner, 1 % of the frame
    assert blank(black) == "is black: 99.0 % of its pixels are within 2 levels"
    dithered = 250 + np.random.default_rng(1).integers(0, 3, (50, 80, 3)).astype(np.uint8)
    assert blank(dithered) == "is of one colour: 100.0 % of its pixels are within 2 levels"


def test_dark_flat_and_extreme_frames_are_not_blank(cuts: Cuts) -> None:
    dark = cuts[0][0] // 8
    assert dark.max() < 32
    assert blank(dark) is None
    menu = np.zeros((50, 80, 3), np.uint8)
    menu[:2] = 255  # 4 %; black and white are 1 level apart for arithmetic that wraps around
    assert blank(menu) is None
    assert blank(gradient(80, 50, seed=1)) is None


def test_a_repeated_frame_is_frozen(clip: list[Frame]) -> None:
    repeated = clip[0].copy()
    repeated[:20, :20] = 255 - repeated[:20, :20]  # a counter
    reason = frozen(repeated, clip[0])
    assert reason is not None
    assert reason.startswith("is frozen: 99.9")
    noisy = (clip[0].clip(2, 253) + np.random.default_rng(1).integers(0, 2, clip[0].shape)) - 1
    assert frozen(noisy.astype(np.uint8), clip[0].clip(2, 253)) is not None


def test_frames_that_follow_each_other_are_not_frozen(clip: list[Frame]) -> None:
    assert frozen(clip[1], clip[0]) is None
    assert frozen(clip[0], clip[0][:-2]) is None


@pytest.mark.parametrize(("x", "y"), [(1, 0), (0, -2), (-3, 1)])
def test_a_shift_is_measured_and_told(renders: Renders, x: int, y: int) -> None:
    low, high = renders
    moved = low[120 + y : 240 + y, 160 + x : 320 + x]
    alignment = align(moved, high[240:480, 320:640])
    assert alignment.shift_px == pytest.approx((x, y), abs=0.06)
    assert alignment.reason is not None
    assert alignment.reason.startswith("is misaligned by (")
    assert alignment.reason.endswith("low-resolution pixels")


def test_half_a_pixel_is_a_shift(renders: Renders) -> None:
    """As where corners of pixels were aligned instead of their centres."""
    low, high = renders
    alignment = align(low[120:240, 160:320], high[240:480, 321:641])
    assert alignment.shift_px == pytest.approx((-0.5, 0), abs=0.06)
    assert alignment.reason is not None


def test_two_instants_are_no_pair(clip: list[Frame]) -> None:
    low = degrade(clip[0], TWO, "point")
    assert align(low, clip[0]).reason is None
    reason = align(low, clip[1]).reason
    assert reason is not None
    assert reason.startswith("shows two different instants: their luma correlates by 0.7")


def test_parts_that_moved_apart_are_no_pair(renders: Renders) -> None:
    low, high = renders
    turned = high[240:480, 320:640].copy()
    turned[:, :213] = high[240:480, 322:535]
    turned[:, 213:] = high[240:480, 531:638]
    alignment = align(low[120:240, 160:320], turned)
    assert alignment.reason is not None
    assert alignment.reason.endswith("of 9 parts: taken at two instants")


def test_what_is_too_flat_to_measure_is_noted_and_stays() -> None:
    alignment = align(gradient(160, 120, seed=0), gradient(320, 240, seed=9))
    assert alignment.reason is None
    assert alignment.shift_px is None
    assert alignment.note == "is too flat or repetitive to measure its alignment"


def test_small_frames_have_no_parts(cuts: Cuts) -> None:
    low, high = cuts[4]
    assert align(low[:40, :60], high[:80, :120]).reason is None


@pytest.mark.parametrize("scale", [TWO, ONE_AND_A_HALF], ids=str)
@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_degraded_frames_are_no_renders(cuts: Cuts, scale: Fraction, kind: Degradation) -> None:
    _, high = cuts[4]
    high = high[:, :318]
    reason = resized(unexplained_detail(degrade(high, scale, kind), high, scale))
    assert reason is not None
    assert reason.startswith("is no pair of renders: the low-resolution frame is a resize")


@pytest.mark.parametrize("kernel", ["NEAREST", "LINEAR", "AREA", "CUBIC", "LANCZOS4"])
def test_resized_frames_are_no_renders(cuts: Cuts, kernel: str) -> None:
    for _, high in cuts[::3]:
        low = cv2.resize(high, None, fx=0.5, fy=0.5, interpolation=getattr(cv2, f"INTER_{kernel}"))
        unexplained = unexplained_detail(low, high, TWO)
        assert unexplained is not None
        assert unexplained < UNEXPLAINED_LIMIT / 4


def test_a_kernel_that_is_not_among_the_common_ones_is_found(cuts: Cuts) -> None:
    for _, high in cuts[::3]:
        blurred = cv2.GaussianBlur(high, (0, 0), 0.7)
        low = cv2.resize(blurred, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_LINEAR)
        assert resized(unexplained_detail(low, high, TWO)) is not None


def test_brightness_and_contrast_do_not_hide_a_resize(cuts: Cuts) -> None:
    _, high = cuts[4]
    low = (degrade(high, TWO, "area") * 0.8 + 20).astype(np.uint8)
    assert resized(unexplained_detail(low, high, TWO)) is not None


def test_a_frame_without_detail_allows_no_answer() -> None:
    low, high = gradient(40, 30, seed=1), gradient(80, 60, seed=2)
    assert unexplained_detail(low // 64 * 64, high // 64 * 64, TWO) is None
    assert resized(None) is None
