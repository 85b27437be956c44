from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from upscaler.doctor.machine import (
    COARSE_NS,
    PACKAGES,
    check_clock,
    check_context_cache,
    check_cpu,
    check_numba_cache,
    check_packages,
    check_platform,
    check_python,
    check_shared_memory,
    clock_steps_ns,
    free_shared_memory,
    numba_cache,
)
from upscaler.engines.context_cache import ContextCache

ASKED = [Requirement(f"{name}==1.2.3") for name in PACKAGES]


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


def test_the_cache_of_the_npu(tmp_path: Path) -> None:
    cache = ContextCache(tmp_path / "contexts")
    empty = check_context_cache(cache)
    assert (empty.status, empty.remedy) == ("ok", "")
    assert empty.detail == f"0 contexts, 0.0 MiB in {cache.folder}, writable"
    assert not cache.folder.exists()
    (cache.folder / ("a" * 64)).mkdir(parents=True)
    damaged = check_context_cache(cache)
    assert damaged.status == "warning"
    assert "1 contexts, 0.0 MiB" in damaged.detail
    assert "1 damaged" in damaged.detail
    assert "upscaler cache clear" in damaged.remedy
    assert [each.name for each in cache.folder.iterdir()] == ["a" * 64]


def test_a_cache_of_the_npu_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = check_context_cache(ContextCache(tmp_path / "file" / "contexts"))
    assert found.status == "warning"
    assert "not writable (Not a directory)" in found.detail
    assert "UPSCALER_CACHE_DIR" in found.remedy


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
