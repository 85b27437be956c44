from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from upscaler.doctor import (
    COARSE_NS,
    PACKAGES,
    Machine,
    check_clock,
    check_cpu,
    check_engine,
    check_engines,
    check_npu,
    check_numba_cache,
    check_packages,
    check_platform,
    check_python,
    check_shared_memory,
    clock_steps_ns,
    free_shared_memory,
    npu_nodes,
    numba_cache,
)
from upscaler.selftest import SelfTest, judge

ASKED = [Requirement(f"{name}==1.2.3") for name in PACKAGES]
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


def test_python_and_platform_are_named() -> None:
    assert check_python().detail.startswith("3.")
    assert check_platform().detail


def test_packages_are_those_asked_for() -> None:
    checks = check_packages(ASKED, {**dict.fromkeys(PACKAGES, "1.2.3"), "numba": "1.2.4"}.get)
    assert [check.name for check in checks] == list(PACKAGES)
    (wrong,) = [check for check in checks if check.status != "ok"]
    assert (wrong.name, wrong.status) == ("numba", "failed")
    assert wrong.detail == "1.2.4 is installed, and numba==1.2.3 is needed"
    assert wrong.remedy == "pip install 'numba==1.2.3'"


def test_packages_that_are_missing_fail_where_they_are_asked_for_alone() -> None:
    checks = check_packages(ASKED[:1], {}.get)
    assert [check.status for check in checks] == ["failed", *["ok"] * (len(PACKAGES) - 1)]
    assert "not installed" in checks[0].detail
    assert checks[1].detail == "not made for this machine"


@pytest.mark.parametrize(
    ("cpuinfo", "name", "status", "words"),
    [
        ("flags\t\t: avx2 avx512f avx512_vnni", "x86_64", "ok", "AVX-512 VNNI yes, AMX int8 no"),
        ("flags\t\t: avx2", "AMD64", "warning", "AVX-VNNI no"),
        ("Features\t: fp asimddp i8mm", "aarch64", "ok", "dot product yes"),
        ("Features\t: fp", "aarch64", "warning", "dot product no"),
        ("", "arm64", "ok", "unknown"),
        ("isa: rv64", "riscv64", "ok", "unknown"),
    ],
)
def test_features_of_the_processor(cpuinfo: str, name: str, status: str, words: str) -> None:
    named, features = check_cpu(f"processor\t: 0\n{cpuinfo}\n", name)
    assert "cores" in named.detail
    assert features.status == status
    assert words in features.detail
    assert bool(features.remedy) == (status != "ok")


def test_the_cache_of_numba(tmp_path: Path) -> None:
    assert check_numba_cache(numba_cache).status == "ok"
    missing = check_numba_cache(lambda: tmp_path / "none")
    assert missing.status == "failed"
    assert "NUMBA_CACHE_DIR" in missing.remedy

    def no_folder() -> Path:
        msg = "cannot cache function: no locator available"
        raise RuntimeError(msg)

    assert "no locator" in check_numba_cache(no_folder).detail


def test_shared_memory(tmp_path: Path) -> None:
    done = check_shared_memory(free_shared_memory())
    assert done.status == "ok", done
    assert check_shared_memory(None).status == "ok"
    assert free_shared_memory(tmp_path / "none") is None


def test_shared_memory_that_is_full_is_not_written_to() -> None:
    full = check_shared_memory(3 * 2**20)
    assert full.status == "failed"
    assert full.detail == "8 MiB do not fit, 3 MiB free in /dev/shm"
    assert "--shm-size" in full.remedy


def test_clocks_step() -> None:
    steps = clock_steps_ns(20)
    assert min(steps) > 0
    assert check_clock(*steps).status == "ok"
    assert check_clock(15_600_000, 100).status == "ok"
    assert check_clock(100, COARSE_NS).status == "warning"


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


def test_engines_that_fail_say_why() -> None:
    tests = {"npu": GOOD, "openvino": SelfTest(engine="openvino", error="no result within 20 s")}
    npu, good, bad = check_engines(tests, machine(nodes={CDSP: True}))
    assert (npu.status, good.status, bad.status) == ("ok", "ok", "failed")
    assert bad.detail == "no result within 20 s"
    assert "openvino" in bad.remedy
    assert "2 levels from onnxruntime" in check_engine(GOOD).detail
    assert "VNNI" in check_engine(judge(GOOD, 9)).remedy


def test_nodes_are_found_by_either_name(tmp_path: Path) -> None:
    for name in ("fastrpc-cdsp", "adsprpc-smd", "null"):
        (tmp_path / name).touch()
    found = npu_nodes(tmp_path)
    assert found == {str(tmp_path / "adsprpc-smd"): True, str(tmp_path / "fastrpc-cdsp"): True}
