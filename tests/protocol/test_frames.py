from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
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
    [("1.5", Fraction(3, 2)), ("3/2", Fraction(3, 2)), (1.5, Fraction(3, 2)), (2, 2), ("4", 4)],
)
def test_scales_are_exact(given_scale: str | float, scale: Fraction) -> None:
    assert parse_scale(given_scale) == scale


@pytest.mark.parametrize(
    "wrong",
    [
        "5",
        "0",
        "-2",
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
    with pytest.raises(BadRequestError, match="choose one of 3/2, 2, 3, 4") as caught:
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
