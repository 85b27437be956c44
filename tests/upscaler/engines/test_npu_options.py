from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from protocol.errors import BadRequestError, ErrorCode
from upscaler.engines.npu_options import NAMES, NpuOptions
from upscaler.engines.socs import find_soc


def test_pairs_are_read_with_their_types() -> None:
    texts = ["performance_mode=balanced, vtcm_mb=4", "idle_after_s=0.5", "soc=8 Gen 3,vtcm_mb=2"]
    assert NpuOptions.parse(texts) == NpuOptions(
        performance_mode="balanced", vtcm_mb=2, idle_after_s=0.5, soc=find_soc("sm8650")
    )
    assert NpuOptions.parse([]) == NpuOptions()
    everything = {
        "performance_mode": "burst",
        "idle_mode": "power_saver",
        "idle_after_s": "0",
        "rpc_control_latency_us": "100",
        "context_priority": "high",
        "vtcm_mb": "8",
        "optimization": "1",
        "soc": "sm8550",
    }
    assert tuple(everything) == NAMES
    parsed = NpuOptions.parse([f"{name}={value}" for name, value in everything.items()])
    assert (parsed.rpc_control_latency_us, parsed.optimization) == (100, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("htp_arch=73", "unknown NPU option 'htp_arch'; choose from performance_mode, idle_mode"),
        ("Vtcm_mb=4", "unknown NPU option 'Vtcm_mb'"),
        ("burst", "'burst' is no NPU option; write it as name=value: performance_mode"),
        ("", "'' is no NPU option"),
        ("vtcm_mb=", "'vtcm_mb=' is no NPU option"),
        ("performance_mode=default", "performance_mode has no value 'default'; choose one of bur"),
        ("idle_mode=fast", "idle_mode has no value 'fast'"),
        ("context_priority=realtime", "no value 'realtime'; choose one of low, normal, normal_hi"),
        ("vtcm_mb=4.5", "vtcm_mb takes a whole number, not '4.5'"),
        ("vtcm_mb=0", "vtcm_mb takes 1 to 16, not 0"),
        ("vtcm_mb=999", "vtcm_mb takes 1 to 16, not 999"),
        ("rpc_control_latency_us=-1", "rpc_control_latency_us takes 0 to 100000, not -1"),
        ("rpc_control_latency_us=abc", "takes a whole number, not 'abc'"),
        ("optimization=9", "optimization takes 1 to 3, not 9"),
        ("idle_after_s=soon", "idle_after_s takes a number, not 'soon'"),
        ("idle_after_s=nan", "idle_after_s takes 0 to 3600, not nan"),
        ("soc=sm1", "unknown chip 'sm1'; choose one of SM8450"),
    ],
)
def test_what_is_not_known_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as refused:
        NpuOptions.parse(["vtcm_mb=4", text])
    assert refused.value.code is ErrorCode.BAD_OPTION


@pytest.mark.parametrize(
    "wrong", [{"performance_mode": "default"}, {"vtcm_mb": 17}, {"optimization": 0}]
)
def test_values_are_checked_however_they_come(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError, match="NPU option"):
        NpuOptions(**wrong)
    with pytest.raises(FrozenInstanceError):
        NpuOptions().vtcm_mb = 4  # type: ignore[misc]


def test_what_the_compiler_sees() -> None:
    assert NpuOptions().compiled_in == NpuOptions(performance_mode="balanced").compiled_in
    assert NpuOptions(vtcm_mb=4).compiled_in == {"optimization": "3", "vtcm_mb": "4"}
