"""On x86_64 these run on Qualcomm's emulation of the NPU, on tiny frames."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import onnx
import pytest

from protocol.errors import EngineError
from protocol.frames import SCALES, PixelFormat, Size
from upscaler.contract import Upscaler
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.qnn import QnnEngine, has_npu
from upscaler.machine import saturates_pairs
from upscaler.models.library import Model, shipped

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")

MakeModel = Callable[..., Model]
SIZE = Size(64, 32)


def upscale(upscaler: Upscaler, src: np.ndarray) -> np.ndarray:
    dst = np.zeros(upscaler.output_shape, np.uint8)
    upscaler(np.ascontiguousarray(src), dst)
    return dst


@pytest.mark.parametrize("scale", SCALES)
def test_every_node_is_on_the_npu(make_model: MakeModel, scale: Fraction) -> None:
    upscaler = QnnEngine().load(make_model(scale), SIZE, PixelFormat.RGB8)
    placed = upscaler.placement()
    assert {provider for provider, _ in placed} == {"QNNExecutionProvider"}
    operators = Counter(operator for _, operator in placed)
    assert (operators.pop("Conv"), operators.pop("DepthToSpace")) == (4, 1)
    # The rest are the encodings of these operators: no Transpose, nothing at the two ends.
    assert set(operators) == {"QuantizeLinear", "DequantizeLinear"}


@pytest.mark.parametrize("scale", SCALES)
def test_agrees_with_the_reference_and_across_formats(
    make_model: MakeModel, picture: np.ndarray, scale: Fraction
) -> None:
    model, engine = make_model(scale), QnnEngine()
    rgb = upscale(engine.load(model, SIZE, PixelFormat.RGB8), picture[..., :3]).astype(int)
    bgr = upscale(engine.load(model, SIZE, PixelFormat.BGR8), picture[..., 2::-1])
    rgba = upscale(engine.load(model, SIZE, PixelFormat.RGBA8), picture)
    assert np.array_equal(bgr[..., ::-1], rgb)
    assert (rgba[..., 3] == 255).all()
    # Alpha's bias costs the others a little of theirs: see upscaler.models.specialise.
    difference = np.abs(rgba[..., :3] - rgb)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005

    reference = upscale(
        OnnxRuntimeEngine().load(model, SIZE, PixelFormat.RGB8), picture[..., :3]
    ).astype(int)
    # Real frames, random weights: at most 4 levels, 55.8 dB. Hexagon rounds each layer its own way.
    # Without VNNI the reference's weights are a little coarser: see upscaler.models.saturation.
    levels, least_db = (6, 48) if saturates_pairs() else (5, 50)
    assert np.abs(rgb - reference).max() <= levels
    assert 10 * np.log10(255**2 / np.square(rgb - reference).mean()) > least_db


def test_writes_into_the_callers_memory_and_nowhere_else(
    make_model: MakeModel, picture: np.ndarray
) -> None:
    upscaler = QnnEngine().load(make_model(Fraction(2)), SIZE, PixelFormat.RGBA8)
    expected = upscale(upscaler, picture)
    before = picture.copy()
    memory = np.full(expected.size + 128, 7, np.uint8)
    dst = memory[64:-64].reshape(expected.shape)
    upscaler(picture, dst)
    assert np.array_equal(dst, expected)
    assert (memory[:64] == 7).all()
    assert (memory[-64:] == 7).all()
    assert np.array_equal(picture, before)


def test_never_calls_the_emulator_an_npu() -> None:
    engine = QnnEngine()
    assert engine.name == "npu"
    assert engine.emulated is not has_npu()
    assert ("emulated" in engine.device) is engine.emulated
    assert engine.version == f"{version('onnxruntime-qnn')} on onnxruntime {version('onnxruntime')}"


def test_a_float_model_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(EngineError, match="quantised models only, and example-2-1-float is float"):
        QnnEngine().load(make_model(Fraction(2), quantised=False), SIZE, PixelFormat.RGB8)
    with pytest.raises(EngineError, match="quantised models only"):
        QnnEngine().certify(make_model(Fraction(2), quantised=False), SIZE, PixelFormat.RGB8)


def test_nothing_falls_back_to_the_cpu(make_model: MakeModel) -> None:
    model = make_model(Fraction(2), quantised=False)
    claimed = Model(
        card=type(model.card)(
            **{name: getattr(model.card, name) for name in model.card.__struct_fields__}
            | {"quantisation": "W8A8"}
        ),
        path=model.path,
    )
    # Casts and float rounding have no place on the NPU in this form.
    with pytest.raises(EngineError, match="npu cannot run example-2-1-float"):
        QnnEngine().load(claimed, SIZE, PixelFormat.RGB8)


@pytest.mark.parametrize(
    "model", [each for each in shipped() if each.card.quantised], ids=lambda each: each.card.name
)
@pytest.mark.parametrize("pixel_format", [PixelFormat.RGB8, PixelFormat.RGBA8])
def test_shipped_models_are_convolutions_and_depth_to_space_and_nothing_else(
    model: Model, pixel_format: PixelFormat
) -> None:
    engine = QnnEngine()
    certificate = engine.certify(model, SIZE, pixel_format)
    kinds = [operator.kind for operator in certificate.operators]
    assert kinds == ["Conv2d"] * (len(kinds) - 1) + ["DepthToSpace"]
    strides = [operator.stride for operator in certificate.operators]
    # At 1.5x the last convolution strides in place of a space-to-depth.
    last = (2, 2) if model.card.ratio == Fraction(3, 2) else (1, 1)
    assert strides == [(1, 1)] * (len(kinds) - 2) + [last, None]
    assert certificate.strays == []
    assert all(operator.cycles for operator in certificate.operators)
    assert certificate.emulated is engine.emulated
    assert all(
        ("emulated" in operator.placement) is engine.emulated for operator in certificate.operators
    )
    assert ("not NPU cycles" in certificate.cycles_of) is engine.emulated
    channels, ratio = pixel_format.channels, model.card.ratio
    (source,), (result,) = certificate.inputs, certificate.outputs
    assert (source.type, source.shape) == ("ufixed8", (1, 32, 64, channels))
    assert (result.type, result.shape) == ("ufixed8", (1, 32 * ratio, 64 * ratio, channels))
    assert (source.bytes, result.bytes) == (
        SIZE.pixels * channels,
        SIZE.pixels * channels * ratio**2,
    )


def test_a_certificate_shows_what_else_is_computed(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    proto = model.proto()
    for node in proto.graph.node:
        if node.op_type == "Transpose":  # rows and columns change places at both ends
            node.attribute[0].ints[:] = [0, 3, 2, 1]
    onnx.save_model(proto, model.path)
    certificate = QnnEngine().certify(model, SIZE, PixelFormat.RGB8)
    assert [each.kind for each in certificate.strays] == ["Transpose", "Transpose"]
    assert "4 Conv2d, 1 DepthToSpace, and besides: Transpose" in certificate.summary


def test_a_certificate_names_what_it_was_made_by(make_model: MakeModel) -> None:
    model, engine = make_model(Fraction(3)), QnnEngine()
    open_one = engine.load(model, SIZE, PixelFormat.RGB8)
    certificate = engine.certify(model, SIZE, PixelFormat.BGR8)
    open_one.close()
    assert certificate.device == engine.device
    assert certificate.libraries["onnxruntime-qnn"] == version("onnxruntime-qnn")
    assert certificate.libraries["onnxruntime"] == version("onnxruntime")
    assert certificate.libraries["QAIRT"].split(".")[0].isdecimal()
    assert certificate.weights_sha256 == model.card.weights_sha256
    sizes = (certificate.input_size, certificate.output_size, certificate.pixel_format)
    assert sizes == ("64x32", "192x96", "bgr8")
    if engine.emulated:
        assert certificate.architecture == "v73, emulated"
        assert certificate.driver == "none: emulated"


def test_a_process_may_end_with_a_session_open(make_model: MakeModel) -> None:
    program = (
        "import sys; from protocol.frames import PixelFormat, Size;"
        "from upscaler.engines.qnn import QnnEngine;"
        "from upscaler.models.library import find_model;"
        "open_one = QnnEngine().load(find_model(sys.argv[1]), Size(16, 8), PixelFormat.RGB8)"
    )
    path = str(make_model(Fraction(2)).path)
    subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True)
