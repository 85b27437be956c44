from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import (
    MAX_PIXELS,
    MAX_SIDE,
    SCALES,
    PixelFormat,
    Size,
    check_size,
    parse_format,
    parse_scale,
    upscaled_size,
)


@pytest.mark.parametrize(
    ("given_scale", "scale"),
    [
        ("1.5", Fraction(3, 2)),
        ("3/2", Fraction(3, 2)),
        (1.5, Fraction(3, 2)),
        (2, 2),
        ("4", 4),
        (1, 1),
        (1.3, Fraction(13, 10)),
        ("1.333", Fraction(1333, 1000)),
        ("Balanced", Fraction(17, 10)),
        ("ultra-quality", Fraction(13, 10)),
        ("performance", 2),
    ],
)
def test_scales_are_exact(given_scale: str | float, scale: Fraction) -> None:
    assert parse_scale(given_scale) == scale


@pytest.mark.parametrize(
    "wrong",
    [
        "5",
        "0",
        "-2",
        "0.999",
        "4.001",
        "1.4999",
        "nan",
        "inf",
        "two",
        "",
        "1/0",
        "1e999999999",
        float("nan"),
        float("inf"),
    ],
)
def test_other_scales_are_refused(wrong: str | float) -> None:
    with pytest.raises(BadRequestError, match="choose a ratio from 1 to 4") as caught:
        parse_scale(wrong)
    assert caught.value.code is ErrorCode.UNSUPPORTED_SCALE


@given(st.integers(1, 1000), st.integers(1, 1000), st.sampled_from(SCALES))
def test_an_upscaled_size_is_exact_or_refused(width: int, height: int, scale: Fraction) -> None:
    size = Size(width, height)
    if width % scale.denominator or height % scale.denominator:
        with pytest.raises(BadRequestError, match="needs even sides"):
            upscaled_size(size, scale)
    else:
        upscaled = upscaled_size(size, scale)
        assert (upscaled.width, upscaled.height) == (width * scale, height * scale)


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(100, 400))
def test_other_ratios_are_rounded_to_pixels(width: int, height: int, percent: int) -> None:
    scale = Fraction(percent, 100)
    assume(scale not in SCALES)
    upscaled = upscaled_size(Size(width, height), scale)
    assert abs(upscaled.width - width * scale) <= Fraction(1, 2)
    assert abs(upscaled.height - height * scale) <= Fraction(1, 2)


def test_fsr1s_modes_give_the_sizes_of_its_guide() -> None:
    # Balanced, 1129x635, would give 1919x1080: there, the guide rounds the low resolution.
    guide = {"ultra-quality": (1477, 831), "quality": (1280, 720), "performance": (960, 540)}
    for mode, low in guide.items():
        assert upscaled_size(Size(*low), parse_scale(mode)) == Size(1920, 1080)


@pytest.mark.parametrize(
    "size", [Size(0, 9), Size(9, 0), Size(-1, 9), Size(MAX_SIDE + 1, 1), Size(8000, 8000)]
)
def test_sizes_are_bounded(size: Size) -> None:
    with pytest.raises(BadRequestError, match=str(size)) as caught:
        check_size(size)
    assert caught.value.code is ErrorCode.UNSUPPORTED_SIZE


def test_the_result_is_bounded_too() -> None:
    assert upscaled_size(Size(3840, 2160), Fraction(2)).pixels == MAX_PIXELS
    with pytest.raises(BadRequestError, match="result of 11520x6480 is too large"):
        upscaled_size(Size(3840, 2160), Fraction(3))


def test_pixel_formats_by_name() -> None:
    assert parse_format("bgra8") is PixelFormat.BGRA8
    assert PixelFormat.BGRA8.blue_first
    assert Size(4, 3).shape(PixelFormat.RGB8) == (3, 4, 3)
    with pytest.raises(BadRequestError, match="choose one of rgb8, bgr8, rgba8, bgra8"):
        parse_format("yuv420")
