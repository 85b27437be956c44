"""Sessions on the device; on x86_64 on Qualcomm's emulation of it, on tiny frames."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.engines.hexagon import Hexagon, QnnUpscaler, lasting
from upscaler.engines.npu_options import PERFORMANCE_MODES, NpuOptions, NpuSettings
from upscaler.engines.qnn import QnnEngine, has_npu
from upscaler.engines.socs import find_soc
from upscaler.models.library import Model

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")

MakeModel = Callable[..., Model]
emulated_only = pytest.mark.skipif(has_npu(), reason="written for the emulator, where it was run")


def load(model: Model, options: NpuOptions | None = None) -> QnnUpscaler:
    settings = NpuSettings(options=options or NpuOptions())
    return QnnEngine(settings).load(model, Size(64, 32), PixelFormat.RGB8)


def upscale(upscaler: QnnUpscaler, src: np.ndarray) -> np.ndarray:
    dst = np.zeros(upscaler.output_shape, np.uint8)
    upscaler(np.ascontiguousarray(src[..., :3]), dst)
    return dst


def test_options_become_those_of_the_provider() -> None:
    soc, other = find_soc("sm8650"), find_soc("x elite")
    device = SimpleNamespace(ep_name="QNNExecutionProvider")

    def options(given: NpuOptions, *, emulated: bool) -> dict[str, str]:
        hexagon = Hexagon(device=device, backend="lib", emulated=emulated, soc=soc, options=given)
        return hexagon.provider_options([soc, other])

    assert options(NpuOptions(), emulated=False) == {
        "backend_path": "lib",
        "htp_performance_mode": "burst",
        "htp_graph_finalization_optimization_mode": "3",
        "qnn_context_priority": "normal",
    }
    chosen = NpuOptions(
        performance_mode="balanced",
        rpc_control_latency_us=100,
        context_priority="high",
        vtcm_mb=4,
        optimization=1,
    )
    assert options(chosen, emulated=True) == {
        "backend_path": "lib",
        "htp_performance_mode": "balanced",
        "htp_graph_finalization_optimization_mode": "1",
        "qnn_context_priority": "high",
        "rpc_control_latency": "100",
        "vtcm_mb": "4",
        "soc_model": "57,60",
        "htp_arch": "75,73",
    }


def test_a_device_is_known_by_what_lasts() -> None:
    metadata = {
        "Description": "Snapdragon(R) X Elite - X1E78100 - Qualcomm(R) Hexagon(TM) NPU",
        "LUID": "82471",
        "DxgiAdapterNumber": "1",
        "Discrete": "0",
    }
    kept = lasting(metadata)
    assert kept == ["Description: " + metadata["Description"], "Discrete: 0"]
    assert lasting(metadata | {"LUID": "11", "DxgiAdapterNumber": "0"}) == kept


@emulated_only
@pytest.mark.parametrize(
    "options",
    [
        NpuOptions(rpc_control_latency_us=100, vtcm_mb=4),
        NpuOptions(context_priority="low", optimization=1),
        NpuOptions(context_priority="high"),
        NpuOptions(context_priority="normal_high"),
    ],
)
def test_options_change_no_pixel(
    make_model: MakeModel, picture: np.ndarray, options: NpuOptions
) -> None:
    model = make_model(Fraction(2))
    assert np.array_equal(upscale(load(model, options), picture), upscale(load(model), picture))


@emulated_only
def test_power_follows_the_frames_on_the_real_session(
    make_model: MakeModel, picture: np.ndarray
) -> None:
    upscaler = load(make_model(Fraction(2)), NpuOptions(idle_after_s=0.01))
    expected = upscale(upscaler, picture)
    for _ in range(3):
        assert upscaler.power.wait_until_idle(30)
        assert upscaler.power.mode == "low_balanced"
        assert np.array_equal(upscale(upscaler, picture), expected)
    upscaler.close()
    upscaler.close()


@emulated_only
@pytest.mark.parametrize("mode", PERFORMANCE_MODES)
def test_every_mode_is_taken_before_and_between_frames(
    make_model: MakeModel, picture: np.ndarray, mode: str
) -> None:
    upscaler = load(make_model(Fraction(2)), NpuOptions(performance_mode=mode))
    for each in (mode, "burst", mode):
        upscaler.power.switch(each)
        upscale(upscaler, picture)


def test_a_forgotten_upscaler_frees_its_session_and_its_thread(make_model: MakeModel) -> None:
    before = threading.active_count()
    upscaler = load(make_model(Fraction(2)))
    session = weakref.ref(upscaler._session)
    assert threading.active_count() == before + 1
    del upscaler
    gc.collect()
    assert session() is None
    assert threading.active_count() == before
