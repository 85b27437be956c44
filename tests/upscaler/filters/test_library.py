from __future__ import annotations

import subprocess
import sys
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size, upscaled_size
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame
from upscaler.filters.library import FILTERS, check_filter_options, filters_at, make_filter


@pytest.mark.parametrize("method", FILTERS)
def test_every_filter_keeps_the_contract(method: str) -> None:
    made = make_filter(method, Size(20, 10), Size(30, 15), PixelFormat.RGBA8)
    assert (made.name, made.emulated) == (method, False)
    assert made.device.startswith("CPU: ")
    assert (made.input_shape, made.output_shape) == ((10, 20, 4), (15, 30, 4))
    source = np.full((10, 20, 4), 255, np.uint8)
    result = np.zeros((15, 30, 4), np.uint8)
    made(source, result)
    assert np.all(source == 255)
    assert np.all(result[2:-2, 2:-2] == 255)
    made.close()
    made.close()


@pytest.mark.parametrize(
    ("size", "upscaled", "code"),
    [
        (Size(20, 10), Size(19, 10), ErrorCode.UNSUPPORTED_SCALE),
        (Size(20, 10), Size(81, 10), ErrorCode.UNSUPPORTED_SCALE),
        (Size(0, 10), Size(0, 10), ErrorCode.UNSUPPORTED_SIZE),
        (Size(4000, 4000), Size(8000, 8000), ErrorCode.UNSUPPORTED_SIZE),
    ],
)
def test_sizes_and_ratios_are_bounded(size: Size, upscaled: Size, code: ErrorCode) -> None:
    with pytest.raises(BadRequestError) as caught:
        make_filter("nearest", size, upscaled, PixelFormat.RGB8)
    assert caught.value.code is code


def test_every_filter_at_a_scale_can_be_made() -> None:
    for scale in (Fraction(1), Fraction(13, 10), Fraction(2), Fraction(4)):
        for method in filters_at(scale):
            upscaled = upscaled_size(Size(30, 20), scale)
            assert make_filter(method, Size(30, 20), upscaled, PixelFormat.BGR8).name == method
    assert set(FILTERS) - set(filters_at(Fraction(3))) == {"nis"}


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(BadRequestError, match="'dlss'; choose one of fsr1, easu, sgsr1, nis, bic"):
        make_filter("dlss", Size(2, 2), Size(4, 4), PixelFormat.RGB8)


def test_names_alone_load_nothing() -> None:
    code = "import upscaler.filters.library, sys; assert not {'numba', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("method", FILTERS)
def test_arrays_of_another_shape_are_refused(method: str) -> None:
    made = make_filter(method, Size(8, 4), Size(16, 8), PixelFormat.RGB8)
    source, result = np.zeros((4, 8, 3), np.uint8), np.zeros((8, 16, 3), np.uint8)
    fixed = result.copy()
    fixed.flags.writeable = False
    wrong = [
        (source[:3], result),
        (source, result[:, :, :2]),
        (source.astype(np.float32), result),
        (source[:, ::-1], result),
        (source, fixed),
    ]
    for src, dst in wrong:
        with pytest.raises(BadRequestError, match=r"the source|the result") as caught:
            made(src, dst)
        assert caught.value.code is ErrorCode.PIXELS_MISMATCH


@pytest.mark.parametrize("method", FILTERS)
def test_the_source_may_be_read_only(method: str, frame: Frame) -> None:
    made = make_filter(method, Size(64, 36), Size(128, 72), PixelFormat.RGB8)
    expected, result = (np.zeros(made.output_shape, np.uint8) for _ in range(2))
    made(frame.copy(), expected)
    fixed = np.frombuffer(frame.tobytes(), np.uint8).reshape(frame.shape)
    assert not fixed.flags.writeable
    made(fixed, result)
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("method", FILTERS)
def test_the_order_of_channels_changes_nothing(method: str) -> None:
    size, upscaled = Size(107, 60), Size(160, 90)
    results = {}
    for colour in PixelFormat:
        made = make_filter(method, size, upscaled, colour)
        results[colour] = np.full(made.output_shape, 77, np.uint8)
        made(game_frame(size, colour), results[colour])
    # OpenCV rounds four channels in another way than three.
    most = 1 if made.engine == "opencv" else 0
    rgb = results[PixelFormat.RGB8].astype(int)
    assert np.array_equal(results[PixelFormat.BGR8][:, :, ::-1], rgb)
    assert np.abs(results[PixelFormat.RGBA8][:, :, :3] - rgb).max() <= most
    assert np.abs(results[PixelFormat.BGRA8][:, :, 2::-1] - rgb).max() <= most
    for colour in (PixelFormat.RGBA8, PixelFormat.BGRA8):
        assert np.all(results[colour][:, :, 3] == 255)


@pytest.mark.parametrize("method", FILTERS)
def test_no_filter_allocates_a_frame(method: str) -> None:
    size = Size(640, 360)
    made = make_filter(method, size, Size(1280, 720), PixelFormat.RGB8)
    source, result = game_frame(size, PixelFormat.RGB8), np.empty(made.output_shape, np.uint8)
    tracemalloc.start()
    made(source, result)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("method", [*FILTERS, "fsr1:stops=0.5,denoise", "nis:sharpness=1"])
def test_options_that_are_known(method: str) -> None:
    check_filter_options(method)


@pytest.mark.parametrize("method", ["magic", "fsr1:loud", "fsr1:stops=9", "nis:stops=1", "easu:x"])
def test_options_that_are_not(method: str) -> None:
    with pytest.raises(BadRequestError):
        check_filter_options(method)
