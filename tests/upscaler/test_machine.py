from __future__ import annotations

import platform
from pathlib import Path

from upscaler.machine import cpu_name, saturates_pairs


def test_the_processor_has_a_name() -> None:
    assert cpu_name().strip() == cpu_name() != ""


def test_a_processor_saturates_or_has_vnni() -> None:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    vnni = flags & {"avx512_vnni", "avx_vnni"}
    assert saturates_pairs() is (platform.machine() == "x86_64" and not vnni)
