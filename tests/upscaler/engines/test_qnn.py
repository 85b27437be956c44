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
from typing import Any

import numpy as np
import onnx
import pytest

from protocol.errors import BadRequestError, EngineError, ErrorCode
from protocol.frames import SCALES, PixelFormat, Size
from upscaler.contract import Upscaler
from upscaler.engines.contexts import add_entry, make_entry, read_manifest, write_manifest
from upscaler.engines.npu_options import NpuOptions, NpuSettings
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.qnn import QnnEngine, check_plugs_in, choose_device, has_npu
from upscaler.engines.socs import SOCS, Soc, find_soc
from upscaler.models.library import Model, shipped

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")

MakeModel = Callable[..., Model]
SIZE = Size(64, 32)
SM8650 = find_soc("sm8650")
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


def turned(model: Model) -> Model:
    """The model with rows and columns that change places at both ends."""
    proto = model.proto()
    for node in proto.graph.node:
        if node.op_type == "Transpose":
            node.attribute[0].ints[:] = [0, 3, 2, 1]
    onnx.save_model(proto, model.path)
    return model


def test_a_certificate_shows_what_else_is_computed(make_model: MakeModel) -> None:
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


@emulated_only
def test_a_warm_cache_gives_the_same_results(
    make_model: MakeModel, picture: np.ndarray, cache: Path
) -> None:
    model, settings = make_model(Fraction(2)), NpuSettings(cache=cache)
    cold = QnnEngine(settings).load(model, SIZE, PixelFormat.RGBA8)
    expected = upscale(QnnEngine().load(model, SIZE, PixelFormat.RGBA8), picture)
    (folder,) = cache.iterdir()
    written = {path: path.stat().st_mtime_ns for path in folder.glob("context*")}
    warm = QnnEngine(settings).load(model, SIZE, PixelFormat.RGBA8)
    assert "kept in" in cold.certificate.context
    assert warm.certificate.context == f"cache, {folder}"
    assert warm.certificate.summary == cold.certificate.summary
    assert "no node on the CPU" in warm.certificate.summary
    assert {path: path.stat().st_mtime_ns for path in folder.glob("context*")} == written
    for upscaler in (cold, warm):
        assert np.array_equal(upscale(upscaler, picture), expected)
        upscaler.close()


@emulated_only
def test_what_changes_a_context_has_one_of_its_own(make_model: MakeModel, cache: Path) -> None:
    model = make_model(Fraction(2))

    def load(size: Size = SIZE, colour: PixelFormat = PixelFormat.RGB8, **options: Any) -> None:
        settings = NpuSettings(cache=cache, options=NpuOptions(**options))
        QnnEngine(settings).load(model, size, colour).close()

    load()
    load(performance_mode="balanced", context_priority="high", idle_after_s=9)
    assert len(list(cache.iterdir())) == 1
    load(Size(32, 32))
    load(colour=PixelFormat.BGR8)
    load(vtcm_mb=4)
    load(optimization=1)
    load(soc=find_soc("sm8650"))
    assert len(list(cache.iterdir())) == 6
    turned(model)  # the same weights in another graph
    load()
    assert len(list(cache.iterdir())) == 7


@emulated_only
def test_a_damaged_cache_is_compiled_again(
    make_model: MakeModel, picture: np.ndarray, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, settings = make_model(Fraction(2)), NpuSettings(cache=cache)
    expected = upscale(QnnEngine(settings).load(model, SIZE, PixelFormat.RGB8), picture[..., :3])
    (binary,) = cache.glob("*/context_qnn.bin")
    good = binary.read_bytes()
    # The library itself loads this one and says nothing.
    binary.write_bytes(good[:5000] + bytes([good[5000] ^ 255]) + good[5001:])
    again = QnnEngine(settings).load(model, SIZE, PixelFormat.RGB8)
    assert np.array_equal(upscale(again, picture[..., :3]), expected)
    assert "is damaged or another" in caplog.text
    assert binary.read_bytes() != good[:5000] + bytes([good[5000] ^ 255]) + good[5001:]


@emulated_only
def test_a_cache_that_the_library_does_not_take_is_compiled_again(
    make_model: MakeModel, cache: Path
) -> None:
    model, settings = make_model(Fraction(2)), NpuSettings(cache=cache)
    QnnEngine(settings).load(model, SIZE, PixelFormat.RGB8).close()
    (folder,) = cache.iterdir()
    entry = read_manifest(folder).entries[0]
    (folder / "context_qnn.bin").write_bytes(b"a context of another driver")
    write_manifest(folder, [make_entry(entry.purpose, folder, list(entry.files), entry.graphs)])
    again = QnnEngine(settings).load(model, SIZE, PixelFormat.RGB8)
    assert "compiled when loaded, kept in" in again.certificate.context


@emulated_only
def test_a_cache_that_cannot_be_written_is_said_and_done_without(
    make_model: MakeModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    settings = NpuSettings(cache=tmp_path / "file" / "cache")
    upscaler = QnnEngine(settings).load(make_model(Fraction(2)), SIZE, PixelFormat.RGB8)
    assert upscaler.certificate.context == "compiled when loaded"
    assert "not writable" in caplog.text
    assert "UPSCALER_CACHE_DIR" in caplog.text


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def ahead(make_model: MakeModel, tmp_path: Path) -> tuple[Model, Path]:
    """A model, and a folder with its contexts for SM8650: at 64x32, rgb8."""
    if not QnnEngine().emulated:
        pytest.skip("contexts are compiled on x86_64")
    model, folder = make_model(Fraction(2)), tmp_path / "contexts"
    folder.mkdir()
    add_entry(folder, QnnEngine().compile(model, SIZE, PixelFormat.RGB8, [SM8650], folder))
    return model, folder


def engine_for(folder: Path, soc: Soc = SM8650, **options: Any) -> QnnEngine:
    return QnnEngine(NpuSettings(contexts=folder, options=NpuOptions(soc=soc, **options)))


def test_a_context_compiled_ahead_gives_the_same_results(
    ahead: tuple[Model, Path], picture: np.ndarray
) -> None:
    model, folder = ahead
    loaded = engine_for(folder).load(model, SIZE, PixelFormat.RGB8)
    fresh = QnnEngine(NpuSettings(options=NpuOptions(soc=SM8650))).load(
        model, SIZE, PixelFormat.RGB8
    )
    assert np.array_equal(upscale(loaded, picture[..., :3]), upscale(fresh, picture[..., :3]))
    assert loaded.certificate.context == str(folder / "example-2-1-w8a8-64x32-rgb8-sm8650.onnx")
    assert loaded.certificate.operators == fresh.certificate.operators
    assert sorted(path.name for path in folder.iterdir()) == [
        "example-2-1-w8a8-64x32-rgb8-sm8650.onnx",
        "example-2-1-w8a8-64x32-rgb8-sm8650_qnn.bin",
        "manifest.json",
    ]


def test_a_context_for_something_else_is_an_error_with_the_remedy(
    ahead: tuple[Model, Path], make_model: MakeModel
) -> None:
    model, folder = ahead
    engine, rgb = engine_for(folder), PixelFormat.RGB8
    with pytest.raises(
        EngineError, match=r"are for SM8650 \(.*\), and this is SM8750 .*--soc SM8750"
    ):
        engine_for(folder, find_soc("8 elite"))
    with pytest.raises(BadRequestError, match="for frames of 64x32, not 32x32; compile one") as no:
        engine.load(model, Size(32, 32), rgb)
    assert no.value.code is ErrorCode.UNSUPPORTED_SIZE
    with pytest.raises(BadRequestError, match="64x32 for rgb8, not bgra8; compile one") as no:
        engine.load(model, SIZE, PixelFormat.BGRA8)
    assert no.value.code is ErrorCode.UNSUPPORTED_FORMAT
    with pytest.raises(EngineError, match="no context of example-2-1-w8a8 with the weights"):
        engine.load(make_model(Fraction(2), noise=0.02), SIZE, rgb)
    with pytest.raises(EngineError, match="compiled for vtcm_mb all, not 4"):
        engine_for(folder, vtcm_mb=4).load(make_model(Fraction(2)), SIZE, rgb)
    with pytest.raises(EngineError, match="another version of upscaler built its graph"):
        engine.load(turned(make_model(Fraction(2))), SIZE, rgb)


def test_a_context_of_other_libraries_is_an_error(ahead: tuple[Model, Path]) -> None:
    _, folder = ahead
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("2.51.0", "2.47.0"))
    with pytest.raises(EngineError, match=r"compiled by .*QAIRT 2\.47\.0, and here is .*2\.51"):
        engine_for(folder)


def test_a_damaged_context_is_an_error_and_stays(ahead: tuple[Model, Path]) -> None:
    model, folder = ahead
    (binary,) = folder.glob("*.bin")
    binary.write_bytes(binary.read_bytes()[:-1])
    with pytest.raises(EngineError, match=f"{binary.name} is damaged.*; compile one: upscaler npu"):
        engine_for(folder).load(model, SIZE, PixelFormat.RGB8)
    binary.unlink()
    with pytest.raises(EngineError, match=r"cannot be read \(No such file or directory\); compile"):
        engine_for(folder).load(model, SIZE, PixelFormat.RGB8)


def test_one_context_for_several_chips_is_built_and_not_emulated(
    ahead: tuple[Model, Path],
) -> None:
    model, folder = ahead
    chips = [find_soc("sm8550"), find_soc("sm8750")]
    entry = QnnEngine().compile(model, SIZE, PixelFormat.RGB8, chips, folder)
    add_entry(folder, entry)
    assert entry.purpose.socs == tuple(chips)
    alone = read_manifest(folder).entries[0]
    assert entry.bytes > 1.5 * alone.bytes
    with pytest.raises(EngineError, match="for several chips, which the emulator does not load"):
        engine_for(folder, chips[0]).load(model, SIZE, PixelFormat.RGB8)


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
