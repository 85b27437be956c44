from __future__ import annotations

import pytest

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.filters.library import make_filter
from upscaler.filters.options import Fsr1Options, split_method


def test_options_are_read() -> None:
    name, given = split_method("fsr1:stops=0.5,limiter=1.0,border=clamp,denoise,between=float")
    assert name == "fsr1"
    assert Fsr1Options.parse(given, sharpness_stops=0.2) == Fsr1Options(
        sharpness_stops=0.5, limiter="1.0", border="clamp", denoise=True, between="float"
    )


def test_what_is_not_given_is_amds_default() -> None:
    assert Fsr1Options.parse({}, sharpness_stops=0.2) == Fsr1Options()
    assert Fsr1Options.parse({}, sharpness_stops=1.5).sharpness_stops == 1.5
    assert Fsr1Options.parse({"denoise": "off"}, sharpness_stops=0.2) == Fsr1Options()
    assert split_method("bicubic") == ("bicubic", {})


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("fsr1:limiter=2", r"unknown limiter '2'; choose 1\.0 or 1\.0\.2"),
        ("fsr1:border=mirror", "unknown border 'mirror'; choose zero or clamp"),
        ("fsr1:between=16bit", "unknown between '16bit'; choose 8bit or float"),
        ("fsr1:denoise=maybe", "unknown denoise 'maybe'; choose on or off"),
        ("fsr1:stops=sharp", "stops needs a number, not 'sharp'"),
        ("fsr1:stops=nan", "out of range"),
        ("fsr1:sharpness=1", "fsr1 has no option 'sharpness'; it has stops, limiter, border"),
        ("fsr1:stops=", "not written NAME=VALUE"),
        ("fsr1:stops=1,,denoise", "not written NAME=VALUE"),
        ("fsr1:stops=1,stops=2", "gives 'stops' twice"),
        ("bicubic:a=-0.5", "bicubic has no option 'a'; it has none"),
    ],
)
def test_bad_options_get_one_sentence(method: str, sentence: str) -> None:
    with pytest.raises(BadRequestError, match=sentence) as caught:
        make_filter(method, Size(8, 8), Size(16, 16), PixelFormat.RGB8)
    assert caught.value.code is ErrorCode.BAD_OPTION
