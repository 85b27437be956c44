"""On x86_64 these run on Qualcomm's emulation of the NPU, on tiny frames."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from protocol.errors import EngineError
from protocol.frames import SCALES, PixelFormat, Size
from upscaler.contract import Upscaler
from upscaler.engines.npu_options import NpuOptions, NpuSettings
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.qnn import QnnEngine, check_plugs_in, choose_device, has_npu
from upscaler.engines.socs import SOCS, find_soc
from upscaler.models.library import Model, shipped

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")

MakeModel = Callable[..., Model]
SIZE = Size(64, 32)
emulated_only = pytest.mark.skipif(has_npu(), reason="written for the emulator, where it was run")


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
    assert np.abs(rgb - reference).max() <= 5
    assert 10 * np.log10(255**2 / np.square(rgb - reference).mean()) > 50


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


def with_shrink(model: Model) -> Model:
    """The model with an operator before its second convolution that no NPU has."""
    proto = model.proto()
    second = [node for node in proto.graph.node if node.op_type == "Conv"][1]
    shrink = onnx.helper.make_node("Shrink", [second.input[0]], ["same"], bias=0.0, lambd=0.0)
    proto.graph.node.insert(list(proto.graph.node).index(second), shrink)
    second.input[0] = "same"
    onnx.save_model(proto, model.path)
    return model


def test_nothing_falls_back_to_the_cpu(make_model: MakeModel, tmp_path: Path) -> None:
    model = with_shrink(make_model(Fraction(2)))
    words = "npu cannot run example-2-1-w8a8: Shrink would run on the CPU; export the model without"
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(EngineError, match=words):
            QnnEngine(NpuSettings(cache=cache)).load(model, SIZE, PixelFormat.RGB8)
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(EngineError, match=words):
        QnnEngine().certify(model, SIZE, PixelFormat.RGB8)


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


def test_a_certificate_shows_what_else_is_computed(
    make_model: MakeModel, turned: Callable[[Model], Model]
) -> None:
    model = turned(make_model(Fraction(2)))
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


def test_loading_makes_a_certificate_without_cycles(make_model: MakeModel) -> None:
    engine = QnnEngine()
    loaded = engine.load(make_model(Fraction(2)), SIZE, PixelFormat.RGB8).certificate
    counted = engine.certify(make_model(Fraction(2)), SIZE, PixelFormat.RGB8)
    assert loaded.summary == "4 Conv2d, 1 DepthToSpace and nothing else; no node on the CPU"
    assert (loaded.inputs, loaded.outputs) == (counted.inputs, counted.outputs)
    assert {(each.name, each.kind, each.placement) for each in loaded.operators} == {
        (each.name, each.kind, each.placement) for each in counted.operators
    }
    assert loaded.cycles is None
    assert {each.cycles for each in loaded.operators} == {None}
    assert "nothing was run" in loaded.cycles_of
    assert counted.cycles


@emulated_only
def test_the_emulator_is_the_chip_that_is_asked_for(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    for soc in SOCS:
        engine = QnnEngine(NpuSettings(options=NpuOptions(soc=soc)))
        certificate = engine.load(model, SIZE, PixelFormat.RGB8).certificate
        assert certificate.chip == soc.label
        assert certificate.architecture == f"v{soc.architecture}, emulated"
    assert QnnEngine().soc == find_soc("8 gen 2")


def test_a_machine_without_an_npu_says_so() -> None:
    cpu = SimpleNamespace(device=SimpleNamespace(type="cpu"))
    npu = SimpleNamespace(device=SimpleNamespace(type="npu"))
    assert choose_device([cpu, npu], npu="npu", may_emulate=True) == (npu, False)
    assert choose_device([cpu], npu="npu", may_emulate=True) == (cpu, True)
    with pytest.raises(EngineError, match="finds no Hexagon NPU; install Qualcomm's NPU driver"):
        choose_device([cpu], npu="npu", may_emulate=False)
    with pytest.raises(EngineError, match="offers no device; reinstall"):
        choose_device([], npu="npu", may_emulate=True)


def test_an_onnxruntime_of_another_version_is_named_with_the_remedy() -> None:
    words = r"onnxruntime 1\.20\.1 does not match onnxruntime-qnn 2\.7\.0; run: pip install"
    old = SimpleNamespace(__version__="1.20.1")
    with pytest.raises(EngineError, match=words):
        check_plugs_in(old, "2.7.0")
    newer = SimpleNamespace(__version__="1.99.0", get_ep_devices=list)
    with pytest.raises(EngineError, match="pip install 'onnxruntime=="):
        check_plugs_in(newer, "2.7.0")


def test_a_process_may_end_with_a_session_open(make_model: MakeModel) -> None:
    program = (
        "import sys; from protocol.frames import PixelFormat, Size;"
        "from upscaler.engines.qnn import QnnEngine;"
        "from upscaler.models.library import find_model;"
        "open_one = QnnEngine().load(find_model(sys.argv[1]), Size(16, 8), PixelFormat.RGB8)"
    )
    path = str(make_model(Fraction(2)).path)
    subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True)
