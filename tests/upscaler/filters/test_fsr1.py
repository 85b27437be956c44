"""FSR1 against outputs of AMD's shader, and what must hold for any input."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadRequestError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame
from upscaler.filters.fsr1 import Easu, Fsr1
from upscaler.filters.options import Fsr1Options
from upscaler.images import read_image

SHIPPED = Path(__file__).parents[2] / "golden" / "fsr1"
ALL = Path(__file__).parents[4] / "shared" / "data" / "fsr1"
GOLDENS = sorted(
    {path.name: path for folder in (ALL, SHIPPED) for path in folder.glob("*_fsr1_*.png")}.values()
)
"""The shipped ones, and more where they are at hand."""


def histogram(result: Frame, expected: Frame) -> str:
    """Say how many values are how many levels off."""
    error = np.abs(result.astype(int) - expected)
    levels, counts = np.unique(error, return_counts=True)
    return ", ".join(f"{level}: {count}" for level, count in zip(levels, counts, strict=True))


def load(golden: Path) -> tuple[Frame, Frame, Frame, Fsr1]:
    name = golden.name.split("_")[0]
    (source,) = golden.parent.glob(f"{name}_input_*.png")
    (easu,) = golden.parent.glob(f"{name}_easu_*.png")
    parts = re.fullmatch(
        r".*_fsr1_(zero|clamp)(?:_(denoise|float|limiter1\.0))?_(\d+)x(\d+)_stops([\d.]+)",
        golden.stem,
    )
    assert parts is not None
    border, option, width, height, stops = parts.groups()
    options = Fsr1Options(
        sharpness_stops=float(stops),
        border="zero" if border == "zero" else "clamp",
        limiter="1.0" if option == "limiter1.0" else "1.0.2",
        denoise=option == "denoise",
        between="float" if option == "float" else "8bit",
    )
    low = read_image(source)
    size, upscaled = Size(low.shape[1], low.shape[0]), Size(int(width), int(height))
    fsr1 = Fsr1(size, upscaled, PixelFormat.BGR8, options)
    return low, read_image(easu), read_image(golden), fsr1


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
def test_equals_amds_shader(golden: Path) -> None:
    low, easu, expected, fsr1 = load(golden)
    result = np.empty_like(expected)

    size, upscaled = (Size(each.shape[1], each.shape[0]) for each in (low, expected))
    Easu(size, upscaled, PixelFormat.BGR8)(low, result)
    assert np.array_equal(result, easu), "EASU: " + histogram(result, easu)
    # On 8 bits of an EASU that is exact, this is RCAS alone.
    fsr1(low, result)
    assert np.array_equal(result, expected), "RCAS: " + histogram(result, expected)


UPSCALED = Size(160, 90)


def run(frame: Frame, pixel_format: PixelFormat, upscaled: Size = UPSCALED) -> Frame:
    size = Size(frame.shape[1], frame.shape[0])
    fsr1 = Fsr1(size, upscaled, pixel_format)
    result = np.full(fsr1.output_shape, 77, np.uint8)
    fsr1(frame, result)
    return result


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_a_flat_picture_stays_flat_inside(level: int) -> None:
    result = run(np.full((45, 80, 3), level, np.uint8), PixelFormat.RGB8)
    assert np.all(result[1:-1, 1:-1] == level)


@pytest.mark.parametrize("upscaled", [Size(7, 5), Size(13, 9), Size(28, 20)])
def test_tiny_pictures_and_odd_ratios(upscaled: Size) -> None:
    assert run(game_frame(Size(7, 5), PixelFormat.RGB8), PixelFormat.RGB8, upscaled).any()


def test_one_pixel() -> None:
    fsr1 = Fsr1(Size(1, 1), Size(4, 4), PixelFormat.RGB8, Fsr1Options(border="clamp"))
    result = np.empty((4, 4, 3), np.uint8)
    fsr1(np.array([[[9, 80, 200]]], np.uint8), result)
    assert np.all(result == (9, 80, 200))


@pytest.mark.parametrize("stops", [-0.1, 8.5, float("nan"), float("inf")])
def test_sharpness_is_bounded(stops: float) -> None:
    with pytest.raises(BadRequestError, match=r"choose 0 \(sharpest\) to 8"):
        Fsr1Options(sharpness_stops=stops)


def test_more_stops_sharpen_less() -> None:
    frame = game_frame(Size(160, 90), PixelFormat.RGB8)
    gradients = []
    for stops in (0.0, 1.0, 4.0):
        options = Fsr1Options(sharpness_stops=stops)
        fsr1 = Fsr1(Size(160, 90), Size(320, 180), PixelFormat.RGB8, options)
        result = np.empty(fsr1.output_shape, np.uint8)
        fsr1(frame, result)
        gradients.append(np.abs(np.diff(result.astype(int), axis=1)).mean())
    assert gradients[0] > gradients[1] > gradients[2]
