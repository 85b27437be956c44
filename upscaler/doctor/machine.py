"""The machine and its packages: what everything rests on.

Each check is a function of what was read from the machine, so that tests can give it other ones.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import upscaler
from upscaler.doctor.check import ARM64, X86_64, Check
from upscaler.engines.context_cache import ENVIRONMENT, ContextCache
from upscaler.machine import cpu_name
from upscaler.selftest import one_line

PACKAGES = (
    "onnxruntime",
    "onnxruntime-qnn",
    "openvino",
    "numba",
    "opencv-python-headless",
    "pyzmq",
)
# As Linux spells them in /proc/cpuinfo.
FEATURES = {
    X86_64: {
        "avx2": "AVX2",
        "avx_vnni": "AVX-VNNI",
        "avx512f": "AVX-512",
        "avx512_vnni": "AVX-512 VNNI",
        "amx_int8": "AMX int8",
    },
    ARM64: {"asimddp": "dot product", "i8mm": "int8 matrix products"},
}
INT8_PRODUCTS = {X86_64: ("avx_vnni", "avx512_vnni"), ARM64: ("asimddp",)}
# OpenVINO adds pairs of products in 16 bits there; onnxruntime can be told not to, and is.
WITHOUT_PRODUCTS = {
    X86_64: "expect 8-bit networks at half the speed or less: VNNI is what they are made for",
    ARM64: "expect 8-bit networks to be slow on this CPU; filters such as fsr1 do not need it",
}
MIB = 2**20
SHARED_BYTES = 8 * MIB
"""One 1080p frame in RGBA is 7.9 MiB."""
COARSE_NS = 1_000_000


def check_python() -> Check:
    """Which Python, and which version of this project."""
    bits = 64 if sys.maxsize > 2**32 else 32
    detail = (
        f"{platform.python_version()} ({platform.python_implementation()}, {bits} bits), "
        f"upscaler {upscaler.__version__}"
    )
    return Check(name="python", status="ok", detail=detail)


def check_platform() -> Check:
    """Which operating system, machine and C library."""
    parts = [f"{platform.system()} {platform.release()}", platform.machine()]
    libc = " ".join(platform.libc_ver()).strip()
    return Check(name="platform", status="ok", detail=", ".join([*parts, libc] if libc else parts))


def installed(name: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check_packages(
    asked: Iterable[Requirement], installed: Callable[[str], str | None]
) -> list[Check]:
    """Whether the packages that matter are those that this project asks for."""
    by_name = {canonicalize_name(one.name): one for one in asked}
    return [
        _check_package(name, by_name.get(canonicalize_name(name)), installed(name))
        for name in PACKAGES
    ]


def _check_package(name: str, asked: Requirement | None, found: str | None) -> Check:
    if asked is None:
        detail = "not made for this machine" if found is None else f"{found}, not asked for here"
        return Check(name=name, status="ok", detail=detail)
    if found is not None and asked.specifier.contains(found, prereleases=True):
        return Check(name=name, status="ok", detail=found)
    wanted = f"{name}{asked.specifier}"
    have = "not installed" if found is None else f"{found} is installed"
    return Check(
        name=name,
        status="failed",
        detail=f"{have}, and {wanted} is needed",
        remedy=f"pip install '{wanted}'",
    )


def read_cpuinfo() -> str:
    """Text of /proc/cpuinfo, empty where there is none."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def check_cpu(cpuinfo: str, machine: str) -> list[Check]:
    """Name and cores of the processor, and what it has for 8-bit networks."""
    cores = os.cpu_count() or 1
    named = Check(name="cpu", status="ok", detail=f"{cpu_name()}, {cores} logical cores")
    family = next((names for names in FEATURES if machine.lower() in names), None)
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    flags = next(
        (set(value.split()) for key, _, value in lines if key.strip() in ("flags", "Features")),
        None,
    )
    if family is None or flags is None:
        return [named, Check(name="cpu features", status="ok", detail="unknown")]
    has = ", ".join(
        f"{title} {'yes' if flag in flags else 'no'}" for flag, title in FEATURES[family].items()
    )
    if flags.intersection(INT8_PRODUCTS[family]):
        return [named, Check(name="cpu features", status="ok", detail=has)]
    remedy = WITHOUT_PRODUCTS[family]
    return [named, Check(name="cpu features", status="warning", detail=has, remedy=remedy)]


def numba_cache() -> Path:
    """Folder where numba keeps the compiled filters; compiles one if it is not there yet.

    Raises RuntimeError (numba's) when it finds no folder that it may write to.
    """
    from upscaler.filters.separable_kernels import resize_rows

    return Path(resize_rows.stats.cache_path)


def check_numba_cache(locate: Callable[[], Path]) -> Check:
    """Whether compiled filters are kept, or are compiled again at every start."""
    name, remedy = "numba cache", "set NUMBA_CACHE_DIR to a folder that you may write to"
    try:
        folder = locate()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError) as error:
        detail = f"compiled filters cannot be kept: {one_line(error)}"
        return Check(name=name, status="failed", detail=detail, remedy=remedy)
    return Check(name=name, status="ok", detail=f"{folder} is writable")


def check_context_cache(cache: ContextCache) -> Check:
    """Whether what is compiled for the NPU can be kept, how much there is, and if it is whole."""
    kept = cache.kept()
    held = sum(each.bytes for each in kept) / MIB
    detail = f"{len(kept)} contexts, {held:.1f} MiB in {cache.folder}"
    name, remedy = "npu cache", f"set {ENVIRONMENT} to a folder that you may write to"
    nearest = next(each for each in (cache.folder, *cache.folder.parents) if each.exists())
    try:
        # Where nothing has been kept yet the folder is not made for a check, only its like.
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".new-"):
            pass
    except OSError as error:
        detail += f", not writable ({error.strerror or error}): every start compiles again"
        return Check(name=name, status="warning", detail=detail, remedy=remedy)
    damaged = [each for each in kept if each.entry is None]
    if damaged:
        detail += f", {len(damaged)} damaged"
        again = "nothing: they are compiled again when needed; or run upscaler cache clear"
        return Check(name=name, status="warning", detail=detail, remedy=again)
    return Check(name=name, status="ok", detail=f"{detail}, writable")


def free_shared_memory(folder: Path = Path("/dev/shm")) -> int | None:  # noqa: S108 - not a file
    """Free bytes for shared memory on Linux; None where there is no such folder."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def check_shared_memory(free_bytes: int | None) -> Check:
    """Create, write, read and unlink a frame's worth; `free_bytes` None means unknown."""
    name = "shared memory"
    remedy = "delete what you do not need in /dev/shm, or enlarge it (docker run --shm-size=1g)"
    free = "" if free_bytes is None else f", {free_bytes // MIB} MiB free in /dev/shm"
    if free_bytes is not None and free_bytes < SHARED_BYTES:
        # A write beyond what is there is no exception but SIGBUS: do not try.
        detail = f"{SHARED_BYTES // MIB} MiB do not fit{free}"
        return Check(name=name, status="failed", detail=detail, remedy=remedy)
    try:
        same = _shares_bytes()
    except OSError as error:
        detail = f"{SHARED_BYTES // MIB} MiB cannot be shared: {one_line(error)}"
        allow = "allow this user to write to /dev/shm (mode 1777)"
        return Check(name=name, status="failed", detail=detail, remedy=allow)
    if not same:
        detail = f"{SHARED_BYTES // MIB} MiB read back differently from what was written{free}"
        return Check(name=name, status="failed", detail=detail, remedy="restart; test the memory")
    return Check(name=name, status="ok", detail=f"{SHARED_BYTES // MIB} MiB shared{free}")


def _shares_bytes() -> bool:
    pattern = bytes(range(256)) * (SHARED_BYTES // 256)
    writer = SharedMemory(create=True, size=SHARED_BYTES)
    try:
        reader = SharedMemory(writer.name)
        try:
            assert writer.buf is not None
            assert reader.buf is not None
            writer.buf[:SHARED_BYTES] = pattern
            # Some systems round the size up to whole pages.
            return bytes(reader.buf[:SHARED_BYTES]) == pattern
        finally:
            reader.close()
    finally:
        writer.close()
        writer.unlink()


def clock_steps_ns(samples: int = 2000) -> tuple[int, int]:
    """Smallest steps seen of the clocks for timeouts (monotonic) and timestamps (perf_counter)."""
    return _step_ns(time.monotonic_ns, samples), _step_ns(time.perf_counter_ns, samples)


def _step_ns(clock: Callable[[], int], samples: int) -> int:
    steps: list[int] = []
    # A clock of 16 ms (monotonic on Windows before Python 3.13) steps rarely: do not wait for many.
    last, until_ns = clock(), time.perf_counter_ns() + 100_000_000
    while len(steps) < samples and (not steps or time.perf_counter_ns() < until_ns):
        now = clock()
        if now != last:
            steps.append(now - last)
            last = now
    return min(steps)


def check_clock(monotonic_ns: int, stamps_ns: int) -> Check:
    """Whether latencies can be measured; the arguments are the smallest steps seen."""
    clocks = (
        ("monotonic", monotonic_ns, time.get_clock_info("monotonic")),
        ("perf_counter", stamps_ns, time.get_clock_info("perf_counter")),
    )
    said = ", ".join(
        f"{name} steps by {step} ns (says {facts.resolution * 1e9:g} ns)"
        for name, step, facts in clocks
    )
    if stamps_ns < COARSE_NS:
        return Check(name="clock", status="ok", detail=said)
    remedy = "latencies are too coarse to compare; enable the high precision timer (TSC or HPET)"
    return Check(name="clock", status="warning", detail=said, remedy=remedy)
