"""Reads this machine and runs every check; an exception in one is a failed check."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

from upscaler.doctor.check import Check, requirements
from upscaler.doctor.engines import check_engines, this_machine
from upscaler.doctor.machine import (
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
    installed,
    numba_cache,
    read_cpuinfo,
)
from upscaler.engines.context_cache import ContextCache, cache_folder
from upscaler.engines.library import ENGINES
from upscaler.selftest import measure_apart, one_line


def examine() -> list[Check]:
    """Check this machine. Takes some seconds, most of them in the engines' self-tests."""
    checks = [
        *guarded("python", lambda: [check_python(), check_platform()]),
        *guarded("packages", lambda: check_packages(requirements(), installed)),
        *guarded("cpu", lambda: check_cpu(read_cpuinfo(), platform.machine())),
        # The engines load from numba's cache what would otherwise be compiled in their time.
        *guarded("numba cache", lambda: [check_numba_cache(numba_cache)]),
        *guarded("npu cache", lambda: [check_context_cache(ContextCache(cache_folder()))]),
        *guarded("shared memory", lambda: [check_shared_memory(free_shared_memory())]),
        *guarded("clock", lambda: [check_clock(*clock_steps_ns())]),
    ]
    tests = {name: measure_apart(name) for name in ENGINES}
    return [
        *checks,
        *guarded(
            "engines",
            lambda: check_engines(
                tests, this_machine(), asked={one.name.lower() for one in requirements()}
            ),
        ),
    ]


def guarded(name: str, checks: Callable[[], list[Check]]) -> list[Check]:
    """Return what `checks` finds, or one failed check called `name` for what it throws."""
    try:
        return checks()
    except PackageNotFoundError as error:
        detail, remedy = f"{error.name} is not installed", "pip install . in the repository"
    except Exception as error:  # noqa: BLE001 - a broken machine is a finding
        detail = f"{type(error).__name__}: {one_line(error)}"
        remedy = "report this line, with what --json prints"
    return [Check(name=name, status="failed", detail=detail, remedy=remedy)]
