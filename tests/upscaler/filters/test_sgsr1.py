"""SGSR1 against outputs of Qualcomm's shader, and what must hold for any input."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame
from upscaler.filters.sgsr1 import Sgsr1
from upscaler.images import read_image

GOLDEN = Path(__file__).parents[2] / "golden"
ALL = Path(__file__).parents[4] / "shared" / "data" / "fsr1"
GOLDENS = sorted(
    {
        path.name: path
        for folder in (ALL, GOLDEN / "sgsr1")
        for path in folder.glob("*_sgsr1_*.png")
    }.values()
)
"""The shipped ones, and more where they are at hand."""


def run(frame: Frame, upscaled: Size, pixel_format: PixelFormat) -> Frame:
    sgsr1 = Sgsr1(Size(frame.shape[1], frame.shape[0]), upscaled, pixel_format)
    result = np.full(sgsr1.output_shape, 77, np.uint8)
    sgsr1(frame, result)
    return result


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
def test_equals_qualcomms_shader(golden: Path) -> None:
    parts = re.fullmatch(r"(.*)_sgsr1_(\d+)x(\d+)", golden.stem)
    assert parts is not None
    inputs = GOLDEN / "fsr1" if golden.parent.name == "sgsr1" else golden.parent
    (source,) = inputs.glob(f"{parts[1]}_input_*.png")
    low, expected = read_image(source), read_image(golden)
    upscaled = Size(int(parts[2]), int(parts[3]))
    error = np.abs(run(low, upscaled, PixelFormat.BGR8).astype(int) - expected)
    # Where an output row lies exactly on an input row, the shader takes one side or the other by
    # the last bit of an interpolated coordinate.
    position = (np.arange(upscaled.height) + 0.5) * low.shape[0] / upscaled.height - 0.5
    clear = error[np.abs(position - np.rint(position)) > 1e-6]
    levels, counts = np.unique(clear, return_counts=True)
    histogram = dict(zip(levels.tolist(), counts.tolist(), strict=True))
    assert clear.shape[0] >= error.shape[0] - 1
    assert clear.max() <= 1, histogram
    assert np.mean(clear == 0) > 0.9999, histogram


@pytest.mark.parametrize("upscaled", [Size(7, 5), Size(13, 9), Size(28, 20)])
def test_tiny_pictures_and_odd_ratios(upscaled: Size) -> None:
    low = game_frame(Size(7, 5), PixelFormat.RGB8)
    result = run(low, upscaled, PixelFormat.RGB8)
    assert low.min() <= result.mean() <= low.max()


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_a_flat_picture_stays_flat(level: int) -> None:
    flat = np.full((45, 80, 3), level, np.uint8)
    assert np.all(run(flat, Size(160, 90), PixelFormat.RGB8) == level)
