from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from upscaler.doctor.engines import Machine, check_engine, check_engines, check_npu, npu_nodes
from upscaler.selftest import SelfTest, judge

GOOD = SelfTest(engine="npu", version="2.7.0", device="Hexagon NPU (HTP)", levels_apart=2)
BAD = SelfTest(engine="npu", error="onnxruntime-qnn finds no Hexagon NPU")
CDSP, ADSP = "/dev/fastrpc-cdsp", "/dev/fastrpc-adsp"


def machine(
    *,
    system: str = "Linux",
    name: str = "aarch64",
    qualcomm: bool = True,
    nodes: Mapping[str, bool] | None = None,
) -> Machine:
    return Machine(system=system, machine=name, qualcomm=qualcomm, nodes=nodes or {})


def test_an_emulated_npu_is_called_emulated() -> None:
    emulated = SelfTest(engine="npu", device="emulated on the CPU", emulated=True)
    check = check_npu(emulated, machine(name="x86_64", qualcomm=False))
    assert (check.status, check.detail.partition(":")[0]) == ("ok", "emulated")
    assert "x86_64" in check.detail


def test_a_real_npu_is_found() -> None:
    check = check_npu(GOOD, machine(nodes={CDSP: True}))
    assert (check.status, check.detail) == ("ok", "found: Hexagon NPU (HTP)")


@pytest.mark.parametrize(
    ("where", "detail", "remedy"),
    [
        (machine(), "no device node of the compute DSP (none)", "modprobe fastrpc"),
        (machine(nodes={ADSP: True}), f"compute DSP ({ADSP})", "modprobe fastrpc"),
        (machine(nodes={ADSP: True, CDSP: False}), f"may not open {CDSP}", "join the group"),
        (machine(nodes={"/dev/adsprpc-smd": False}), "/dev/adsprpc-smd", "join the group"),
        (machine(nodes={CDSP: True}), BAD.error, "pip install --force-reinstall 'onnxruntime-qnn"),
        (machine(system="Windows", name="ARM64"), BAD.error, "Qualcomm's NPU driver"),
        (machine(name="x86_64", qualcomm=False), BAD.error, "pip install"),
    ],
)
def test_what_an_npu_lacks(where: Machine, detail: str, remedy: str) -> None:
    check = check_npu(BAD, where)
    assert check.status == "failed"
    assert detail in check.detail
    assert remedy in check.remedy


@pytest.mark.parametrize(
    "where", [machine(qualcomm=False), machine(system="Darwin", name="arm64", qualcomm=False)]
)
def test_a_machine_that_can_have_no_npu_is_well(where: Machine) -> None:
    npu, engine = check_engines({"npu": BAD}, where)
    assert (npu.status, engine.status) == ("ok", "ok")
    assert npu.detail.startswith("none:")
    assert engine.detail == "not for this machine"


def test_an_engine_that_is_not_made_for_this_machine_fails_nothing() -> None:
    tests = {
        "npu": GOOD,
        "openvino": SelfTest(engine="openvino", error="openvino is not installed"),
        "onnxruntime": SelfTest(engine="onnxruntime", error="onnxruntime is not installed"),
    }
    arm = machine(system="Windows", name="ARM64")
    checks = check_engines(tests, arm, asked={"onnxruntime", "onnxruntime-qnn"})
    assert [(check.name, check.status) for check in checks] == [
        ("npu", "ok"),
        ("engine npu", "ok"),
        ("engine openvino", "ok"),
        ("engine onnxruntime", "failed"),
    ]
    assert checks[2].detail == "not for this machine"


def test_engines_that_fail_say_why() -> None:
    tests = {"npu": GOOD, "openvino": SelfTest(engine="openvino", error="no result within 20 s")}
    npu, good, bad = check_engines(tests, machine(nodes={CDSP: True}))
    assert (npu.status, good.status, bad.status) == ("ok", "ok", "failed")
    assert bad.detail == "no result within 20 s"
    assert "openvino" in bad.remedy
    assert "2 levels from onnxruntime" in check_engine(GOOD).detail
    assert "report this line" in check_engine(judge(GOOD, 9)).remedy


def test_nodes_are_found_by_either_name(tmp_path: Path) -> None:
    for name in ("fastrpc-cdsp", "adsprpc-smd", "null"):
        (tmp_path / name).touch()
    found = npu_nodes(tmp_path)
    assert found == {str(tmp_path / "adsprpc-smd"): True, str(tmp_path / "fastrpc-cdsp"): True}
