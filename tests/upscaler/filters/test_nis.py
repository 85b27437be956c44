"""NIS against outputs of NVIDIA's shader, and what must hold for any input."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame
from upscaler.filters.nis import Nis
from upscaler.filters.nis_tables import SCALE, SHARPEN
from upscaler.images import read_image

GOLDEN = Path(__file__).parents[2] / "golden"
GOLDENS = sorted((GOLDEN / "nis").glob("*_nis_*.png"))
UPSCALED = Size(160, 90)


def run(frame: Frame, upscaled: Size, pixel_format: PixelFormat, sharpness: float = 0.5) -> Frame:
    size = Size(frame.shape[1], frame.shape[0])
    nis = Nis(size, upscaled, pixel_format, sharpness=sharpness)
    result = np.full(nis.output_shape, 77, np.uint8)
    nis(frame, result)
    return result


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
def test_equals_nvidias_shader(golden: Path) -> None:
    parts = re.fullmatch(r"(.*)_nis_(\d+)x(\d+)_sharpness([\d.]+)", golden.stem)
    assert parts is not None
    name, width, height, sharpness = parts.groups()
    (source,) = (GOLDEN / "fsr1").glob(f"{name}_input_*.png")
    upscaled = Size(int(width), int(height))
    result = run(read_image(source), upscaled, PixelFormat.BGR8, float(sharpness))
    levels, counts = np.unique(np.abs(result.astype(int) - read_image(golden)), return_counts=True)
    histogram = dict(zip(levels.tolist(), counts.tolist(), strict=True))
    assert histogram == {0: result.size}


def test_there_are_goldens() -> None:
    assert len(GOLDENS) >= 7


def test_filter_banks_are_those_of_the_sdk() -> None:
    # Some rows of `coef_scale` and `coef_usm`; the second half is made from the first.
    assert SCALE.shape == SHARPEN.shape == (64, 6)
    for bank, phase, row in (
        (SCALE, 1, (0.0029, -0.0127, 1.0, 0.0132, -0.0034, 0.0)),
        (SCALE, 32, (0.0244, -0.1357, 0.6113, 0.6113, -0.1357, 0.0244)),
        (SCALE, 63, (0.0, -0.0034, 0.0132, 1.0, -0.0127, 0.0029)),
        (SHARPEN, 0, (0.0, -0.6001, 1.2002, -0.6001, 0.0, 0.0)),
        (SHARPEN, 62, (0.0005, -0.0068, -0.5791, 1.1958, -0.6147, 0.0049)),
    ):
        assert np.array_equal(bank[phase], np.array(row, np.float32))


@pytest.mark.parametrize("level", [0, 1, 127, 255])
@pytest.mark.parametrize("size", [Size(80, 45), Size(107, 60), Size(160, 90)])
def test_a_flat_picture_stays_flat(size: Size, level: int) -> None:
    flat = np.full((size.height, size.width, 3), level, np.uint8)
    assert np.all(run(flat, UPSCALED, PixelFormat.RGB8, 1.0) == level)


@pytest.mark.parametrize("upscaled", [Size(7, 5), Size(8, 5), Size(11, 9), Size(14, 10)])
def test_tiny_pictures_and_odd_ratios(upscaled: Size) -> None:
    low = game_frame(Size(7, 5), PixelFormat.RGB8)
    result = run(low, upscaled, PixelFormat.RGB8)
    assert abs(result.mean() - low.mean()) < 4


@pytest.mark.parametrize("upscaled", [Size(1, 1), Size(2, 1), Size(2, 2)])
def test_one_pixel(upscaled: Size) -> None:
    result = run(np.array([[[9, 80, 200]]], np.uint8), upscaled, PixelFormat.RGB8)
    assert np.all(result == (9, 80, 200))


def test_at_its_own_size_a_picture_without_edges_stays_as_it_is() -> None:
    across, down = np.meshgrid(np.arange(0, 96, 2), np.arange(0, 64, 2))
    slope = np.repeat((across + down)[:, :, None], 3, axis=2).astype(np.uint8)
    assert np.array_equal(run(slope, Size(48, 32), PixelFormat.RGB8, 1.0), slope)


def test_of_the_opposite_edge_the_first_three_pixels_show_something() -> None:
    """The shader's mistake, which makes part of its result."""
    rng = np.random.default_rng(0)
    low = rng.integers(0, 256, (20, 30, 3), np.uint8)
    other = low.copy()
    other[:, -1] = 255 - other[:, -1]
    for upscaled, first in ((Size(60, 40), 3), (Size(30, 40), 0)):
        changed = np.any(
            run(low, upscaled, PixelFormat.RGB8) != run(other, upscaled, PixelFormat.RGB8),
            axis=(0, 2),
        )
        assert np.all(changed[:first])
        assert not np.any(changed[first : upscaled.width // 2])


@pytest.mark.parametrize("upscaled", [Size(21, 10), Size(20, 11), Size(40, 40), Size(9, 5)])
def test_other_ratios_are_refused(upscaled: Size) -> None:
    with pytest.raises(BadRequestError, match="1 to 2 times as long") as refused:
        Nis(Size(10, 5), upscaled, PixelFormat.RGB8)
    assert refused.value.code == ErrorCode.UNSUPPORTED_SCALE


@pytest.mark.parametrize("sharpness", [-0.1, 1.1, float("nan"), float("inf")])
def test_sharpness_is_bounded(sharpness: float) -> None:
    with pytest.raises(BadRequestError, match=r"choose 0 to 1 \(sharpest\)") as refused:
        Nis(Size(10, 5), Size(20, 10), PixelFormat.RGB8, sharpness=sharpness)
    assert refused.value.code == ErrorCode.BAD_OPTION


def test_more_sharpness_sharpens_more() -> None:
    frame = game_frame(Size(160, 90), PixelFormat.RGB8)
    gradients = [
        np.abs(
            np.diff(run(frame, Size(320, 180), PixelFormat.RGB8, sharpness).astype(int), axis=1)
        ).mean()
        for sharpness in (0.0, 0.5, 1.0)
    ]
    assert gradients[0] < gradients[1] < gradients[2]
