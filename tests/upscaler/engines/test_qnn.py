"""On x86_64 these run on Qualcomm's emulation of the NPU, on tiny frames."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import pytest

from protocol.errors import EngineError
from protocol.frames import SCALES, PixelFormat, Size
from upscaler.contract import Upscaler
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.qnn import QnnEngine, has_npu
from upscaler.models.library import Model

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


def test_a_process_may_end_with_a_session_open(make_model: MakeModel) -> None:
    program = (
        "import sys; from protocol.frames import PixelFormat, Size;"
        "from upscaler.engines.qnn import QnnEngine;"
        "from upscaler.models.library import find_model;"
        "open_one = QnnEngine().load(find_model(sys.argv[1]), Size(16, 8), PixelFormat.RGB8)"
    )
    path = str(make_model(Fraction(2)).path)
    subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True)
