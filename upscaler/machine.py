"""What machine this is, in words."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path


@cache
def cpu_name() -> str:
    """Return the processor's name, such as "AMD EPYC"."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


@cache
def saturates_pairs() -> bool:
    """Whether uint8 x int8 convolutions saturate in 16 bits here: x86 without VNNI."""
    from llvmlite import binding

    if platform.machine().lower() not in {"x86_64", "amd64", "x86", "i686"}:
        return False
    features = binding.get_host_cpu_features()
    return not (features.get("avx512vnni") or features.get("avxvnni"))
