from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import onnxruntime
import pytest

from protocol.errors import EngineError
from protocol.frames import SCALES, PixelFormat, Size
from upscaler.bench.floor import product_graph
from upscaler.contract import Upscaler
from upscaler.engines.onnxruntime import EXACT_PRODUCTS, OnnxRuntimeEngine, graph_runner
from upscaler.models.library import Model
from upscaler.models.specialise import specialise

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
    engine = OnnxRuntimeEngine(threads=2)
    rgb = upscale(engine.load(model, SIZE, PixelFormat.RGB8), picture[..., :3]).astype(int)
    bgr = upscale(engine.load(model, SIZE, PixelFormat.BGR8), picture[..., 2::-1])[..., ::-1]
    rgba = upscale(engine.load(model, SIZE, PixelFormat.RGBA8), picture)
    bgra = upscale(engine.load(model, SIZE, PixelFormat.BGRA8), picture[..., [2, 1, 0, 3]])
    assert np.abs(bgr - rgb).max() <= bound
    assert np.abs(rgba[..., :3] - rgb).max() <= bound
    assert np.abs(bgra[..., 2::-1] - rgb).max() <= bound
    assert (rgba[..., 3] == 255).all()
    assert (bgra[..., 3] == 255).all()


def test_writes_into_the_callers_memory_and_nowhere_else(
    make_model: MakeModel, picture: np.ndarray
) -> None:
    upscaler = OnnxRuntimeEngine().load(make_model(Fraction(2)), SIZE, PixelFormat.RGBA8)
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


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("pixel_format", [PixelFormat.RGB8, PixelFormat.BGRA8])
@pytest.mark.parametrize("pooled", [True, False])
def test_depth_to_space_outside_changes_nothing(
    make_model: MakeModel,
    picture: np.ndarray,
    scale: Fraction,
    pixel_format: PixelFormat,
    *,
    pooled: bool,
) -> None:
    model = make_model(scale, pooled=pooled and scale.denominator > 1)
    proto = specialise(model, SIZE, pixel_format)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(EXACT_PRODUCTS, "1")
    whole = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    src = np.ascontiguousarray(picture[..., : pixel_format.channels])
    (expected,) = whole.run(None, {whole.get_inputs()[0].name: src[None]})
    upscaler = OnnxRuntimeEngine().load(model, SIZE, pixel_format)
    assert np.array_equal(upscale(upscaler, src), expected[0])


def test_runs_a_graph_for_benchmarks() -> None:
    run = graph_runner(product_graph(32), threads=1)
    run()
    run()


def test_refers_to_no_frame_after_the_call(make_model: MakeModel, picture: np.ndarray) -> None:
    upscaler = OnnxRuntimeEngine().load(make_model(Fraction(2)), SIZE, PixelFormat.RGBA8)
    dst = np.zeros(upscaler.output_shape, np.uint8)
    references = sys.getrefcount(picture), sys.getrefcount(dst)
    upscaler(picture, dst)
    assert (sys.getrefcount(picture), sys.getrefcount(dst)) == references


def test_two_sizes_of_one_model_live_side_by_side(
    make_model: MakeModel, picture: np.ndarray
) -> None:
    model, engine = make_model(Fraction(3, 2)), OnnxRuntimeEngine()
    large = engine.load(model, SIZE, PixelFormat.RGB8)
    small = engine.load(model, Size(20, 10), PixelFormat.RGB8)
    whole = upscale(large, picture[..., :3])
    assert upscale(small, picture[:10, :20, :3]).shape == (15, 30, 3)
    assert np.array_equal(upscale(large, picture[..., :3]), whole)
    # Away from the cut edges (4 pixels of context, scaled) both see the same.
    assert np.array_equal(upscale(small, picture[:10, :20, :3])[:7, :22], whole[:7, :22])


def test_the_identity_network_repeats_pixels(make_model: MakeModel, picture: np.ndarray) -> None:
    model = make_model(Fraction(2), noise=0)
    upscaler = OnnxRuntimeEngine().load(model, SIZE, PixelFormat.RGB8)
    rgb = picture[..., :3]
    assert np.array_equal(upscale(upscaler, rgb), rgb.repeat(2, 0).repeat(2, 1))


def test_says_what_it_is(make_model: MakeModel) -> None:
    engine = OnnxRuntimeEngine()
    upscaler = engine.load(make_model(Fraction(2)), SIZE, PixelFormat.RGB8)
    assert (engine.name, engine.emulated) == ("onnxruntime", False)
    assert engine.version == version("onnxruntime")
    assert (upscaler.engine, upscaler.device, upscaler.emulated) == (
        "onnxruntime",
        engine.device,
        False,
    )
    assert engine.device.startswith("CPU: ")
    upscaler.close()
    upscaler.close()


def test_a_graph_that_the_runtime_refuses_is_an_engine_error(make_model: MakeModel) -> None:
    model = broken(make_model(Fraction(2)))
    with pytest.raises(EngineError, match="onnxruntime cannot run example-2-1-w8a8: ") as caught:
        OnnxRuntimeEngine().load(model, SIZE, PixelFormat.RGB8)
    assert caught.value.__cause__ is not None


def broken(model: Model) -> Model:
    """The model with an operator that nobody has; its weights are intact."""
    import onnx

    proto = model.proto()
    node = next(node for node in proto.graph.node if node.op_type == "DepthToSpace")
    node.op_type = "DepthToTime"
    onnx.save_model(proto, model.path)
    return model
