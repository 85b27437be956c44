from __future__ import annotations

import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx
import pytest

from protocol.errors import EngineError
from protocol.frames import SCALES, PixelFormat, Size
from upscaler.contract import Upscaler
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.openvino import OpenVinoEngine
from upscaler.machine import saturates_pairs
from upscaler.models.library import Model

MakeModel = Callable[..., Model]
SIZE = Size(64, 32)


def upscale(upscaler: Upscaler, src: np.ndarray) -> np.ndarray:
    dst = np.zeros(upscaler.output_shape, np.uint8)
    upscaler(np.ascontiguousarray(src), dst)
    return dst


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("quantised", "bound"), [(True, 0), (False, 1)])
def test_pixel_formats_agree(
    make_model: MakeModel, picture: np.ndarray, scale: Fraction, bound: int, *, quantised: bool
) -> None:
    model = make_model(scale, quantised=quantised)
    engine = OpenVinoEngine(threads=2)
    rgb = upscale(engine.load(model, SIZE, PixelFormat.RGB8), picture[..., :3]).astype(int)
    bgr = upscale(engine.load(model, SIZE, PixelFormat.BGR8), picture[..., 2::-1])[..., ::-1]
    rgba = upscale(engine.load(model, SIZE, PixelFormat.RGBA8), picture)
    bgra = upscale(engine.load(model, SIZE, PixelFormat.BGRA8), picture[..., [2, 1, 0, 3]])
    assert np.abs(bgr - rgb).max() <= bound
    assert np.abs(rgba[..., :3] - rgb).max() <= bound
    assert np.abs(bgra[..., 2::-1] - rgb).max() <= bound
    assert (rgba[..., 3] == 255).all()
    assert (bgra[..., 3] == 255).all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("quantised", [True, False])
def test_agrees_with_the_reference(
    make_model: MakeModel, picture: np.ndarray, scale: Fraction, *, quantised: bool
) -> None:
    model = make_model(scale, quantised=quantised)
    results = [
        upscale(engine.load(model, SIZE, PixelFormat.RGBA8), picture).astype(int)
        for engine in (OpenVinoEngine(), OnnxRuntimeEngine())
    ]
    difference = np.abs(results[0] - results[1])
    if quantised and saturates_pairs():
        # OpenVINO's weights are a little coarser then: see upscaler.models.saturation.
        assert difference.max() <= 6
        assert 10 * np.log10(255**2 / np.square(difference).mean()) > 48
        return
    # Sums are exact; requantised they round apart in one value of 100,000 (real frames).
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("pixel_format", [PixelFormat.RGB8, PixelFormat.RGBA8])
def test_runs_in_integers_without_a_conversion(
    make_model: MakeModel, scale: Fraction, pixel_format: PixelFormat
) -> None:
    upscaler = OpenVinoEngine().load(make_model(scale), SIZE, pixel_format)
    operations = upscaler.operations()
    assert [kind for kind, _, _ in operations] == [
        "Input",
        "Reorder",
        *["Convolution"] * 4,
        "Reorder",
        "Output",
    ]
    assert {precision for _, _, precision in operations} == {"u8"}


def test_writes_into_the_callers_memory_and_nowhere_else(
    make_model: MakeModel, picture: np.ndarray
) -> None:
    upscaler = OpenVinoEngine().load(make_model(Fraction(2)), SIZE, PixelFormat.RGBA8)
    expected = upscale(upscaler, picture)
    before = picture.copy()
    # An odd address, as in the middle of a message, with guards on both sides.
    memory = np.full(expected.size + 20, 7, np.uint8)
    dst = memory[13:-7].reshape(expected.shape)
    upscaler(picture, dst)
    assert np.array_equal(dst, expected)
    assert (memory[:13] == 7).all()
    assert (memory[-7:] == 7).all()
    assert np.array_equal(picture, before)


def test_reads_a_read_only_message(make_model: MakeModel, picture: np.ndarray) -> None:
    upscaler = OpenVinoEngine().load(make_model(Fraction(2)), SIZE, PixelFormat.RGBA8)
    message = np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.shape)
    assert np.array_equal(upscale(upscaler, message), upscale(upscaler, picture))


def test_allocates_no_frame_and_refers_to_none(make_model: MakeModel, picture: np.ndarray) -> None:
    upscaler = OpenVinoEngine().load(make_model(Fraction(4)), SIZE, PixelFormat.RGBA8)
    dst = np.zeros(upscaler.output_shape, np.uint8)
    upscaler(picture, dst)
    references = sys.getrefcount(picture), sys.getrefcount(dst)
    tracemalloc.start()
    upscaler(picture, dst)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < picture.nbytes
    assert (sys.getrefcount(picture), sys.getrefcount(dst)) == references


def test_lets_go_of_the_gil(make_model: MakeModel) -> None:
    upscaler = OpenVinoEngine(threads=1).load(
        make_model(Fraction(2)), Size(480, 270), PixelFormat.RGB8
    )
    src = np.zeros(upscaler.input_shape, np.uint8)
    dst = np.zeros(upscaler.output_shape, np.uint8)
    frames: list[tuple[float, float]] = []

    def work() -> None:
        for _ in range(10):
            start = time.perf_counter()
            upscaler(src, dst)
            frames.append((start, time.perf_counter()))

    thread = threading.Thread(target=work)
    turns = []
    thread.start()
    while thread.is_alive():
        turns.append(time.perf_counter())
    # With the GIL kept, nobody has a turn in the middle of a frame.
    assert any(
        start + (end - start) / 4 < turn < end - (end - start) / 4
        for start, end in frames
        for turn in turns
    )


def test_two_sizes_of_one_model_live_side_by_side(
    make_model: MakeModel, picture: np.ndarray
) -> None:
    model, engine = make_model(Fraction(3, 2)), OpenVinoEngine()
    large = engine.load(model, SIZE, PixelFormat.RGB8)
    small = engine.load(model, Size(20, 10), PixelFormat.RGB8)
    whole = upscale(large, picture[..., :3])
    # Away from the cut edges (4 pixels of context, scaled) both see the same.
    assert np.array_equal(upscale(small, picture[:10, :20, :3])[:7, :22], whole[:7, :22])
    assert np.array_equal(upscale(large, picture[..., :3]), whole)


def test_says_what_it_is(make_model: MakeModel) -> None:
    engine = OpenVinoEngine()
    upscaler = engine.load(make_model(Fraction(2)), SIZE, PixelFormat.RGB8)
    assert (engine.name, engine.emulated) == ("openvino", False)
    assert engine.device.startswith("CPU: ")
    assert engine.version.split(".")[0].isdecimal()
    assert (upscaler.engine, upscaler.device) == ("openvino", engine.device)
    upscaler.close()
    upscaler.close()
    with pytest.raises(EngineError, match="closed"):
        upscale(upscaler, np.zeros(upscaler.input_shape, np.uint8))


def test_a_graph_that_the_runtime_refuses_is_an_engine_error(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    proto = model.proto()
    next(node for node in proto.graph.node if node.op_type == "DepthToSpace").op_type = "ToTime"
    onnx.save_model(proto, model.path)
    with pytest.raises(EngineError, match="openvino cannot run example-2-1-w8a8: ") as caught:
        OpenVinoEngine().load(model, SIZE, PixelFormat.RGB8)
    assert caught.value.__cause__ is not None
