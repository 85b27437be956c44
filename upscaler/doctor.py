"""What `upscaler doctor` looks at: the machine, the packages, the engines, and what they rest on.

Each check is a function of what was read from the machine, so that tests can give it other ones.
`examine` reads this machine and runs them all; an exception in one is a failed check.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Literal

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import upscaler
from upscaler.engines.library import ENGINES
from upscaler.machine import cpu_name
from upscaler.selftest import HEIGHT, REFERENCE, WIDTH, SelfTest, measure_apart, one_line

Status = Literal["ok", "warning", "failed"]

PACKAGES = (
    "onnxruntime",
    "onnxruntime-qnn",
    "openvino",
    "numba",
    "opencv-python-headless",
    "pyzmq",
)
PACKAGE_OF = {"npu": "onnxruntime-qnn", "openvino": "openvino", "onnxruntime": "onnxruntime"}
X86_64, ARM64 = ("x86_64", "amd64"), ("aarch64", "arm64")
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
# See engines.onnxruntime.
WITHOUT_PRODUCTS = {
    X86_64: "use --engine openvino: without VNNI onnxruntime's 8-bit products may saturate",
    ARM64: "expect 8-bit networks to be slow on this CPU; filters such as fsr1 do not need it",
}
MIB = 2**20
SHARED_BYTES = 8 * MIB
"""One 1080p frame in RGBA is 7.9 MiB."""
COARSE_NS = 1_000_000
NPU_NODES = ("adsprpc-smd*", "fastrpc-*")
"""Device nodes of FastRPC, through which Linux talks to Qualcomm's DSPs: the names of Qualcomm's
kernel and of mainline."""
COMPUTE_DSP = ("cdsp", "adsprpc")
"""In the names of those that reach the compute DSP, where the NPU is; Qualcomm's reaches all."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the screen; `remedy` says what to do unless the status is "ok"."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What decides whether there can be an NPU."""

    system: str
    machine: str
    qualcomm: bool
    """Whether the processor says that it is Qualcomm's."""
    nodes: Mapping[str, bool]
    """FastRPC's device nodes, and whether this user may read and write them; Linux only."""


def examine() -> list[Check]:
    """Check this machine. Takes some seconds, most of them in the engines' self-tests."""
    checks = [
        *_guarded("python", lambda: [check_python(), check_platform()]),
        *_guarded("packages", lambda: check_packages(requirements(), installed)),
        *_guarded("cpu", lambda: check_cpu(read_cpuinfo(), platform.machine())),
        # The engines load from numba's cache what would otherwise be compiled in their time.
        *_guarded("numba cache", lambda: [check_numba_cache(numba_cache)]),
        *_guarded("shared memory", lambda: [check_shared_memory(free_shared_memory())]),
        *_guarded("clock", lambda: [check_clock(*clock_steps_ns())]),
    ]
    tests = {name: measure_apart(name) for name in ENGINES}
    return [*checks, *_guarded("engines", lambda: check_engines(tests, this_machine()))]


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


def requirements() -> list[Requirement]:
    """What this project asks for on this machine, out of its own metadata.

    Raises PackageNotFoundError where it runs without having been installed.
    """
    asked = [Requirement(text) for text in requires("upscaler") or []]
    return [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]


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


def this_machine(devices: Path = Path("/dev")) -> Machine:
    """Read what `Machine` holds."""
    return Machine(
        system=platform.system(),
        machine=platform.machine(),
        qualcomm=_says_qualcomm(),
        nodes=npu_nodes(devices),
    )


def npu_nodes(devices: Path) -> dict[str, bool]:
    """FastRPC's nodes in a folder, and whether this user may read and write them."""
    found = sorted(path for pattern in NPU_NODES for path in devices.glob(pattern))
    return {str(path): os.access(path, os.R_OK | os.W_OK) for path in found}


def _says_qualcomm() -> bool:
    """By the processor's name on Windows, by the device tree or the vendor's file on Linux."""
    said = platform.processor().encode()
    for file in ("/proc/device-tree/compatible", "/sys/class/dmi/id/sys_vendor"):
        try:
            said += Path(file).read_bytes()
        except OSError:
            continue
    return any(word in said.lower() for word in (b"qcom", b"qualcomm"))


def check_engines(tests: Mapping[str, SelfTest], machine: Machine) -> list[Check]:
    """The NPU, then each engine by its self-test. What this machine cannot have fails nothing."""
    npu = check_npu(tests["npu"], machine)
    missing = bool(tests["npu"].error) and npu.status == "ok"
    return [
        npu,
        *(
            Check(name=f"engine {name}", status="ok", detail="not for this machine")
            if name == "npu" and missing
            else check_engine(test)
            for name, test in tests.items()
        ),
    ]


def check_npu(test: SelfTest, machine: Machine) -> Check:
    """Whether there is an NPU: real, emulated, none on such a machine, or what it lacks."""
    if not test.error:
        why = (
            f"emulated: Hexagon NPUs are in Snapdragon machines, and this is {machine.machine}"
            if test.emulated
            else f"found: {test.device}"
        )
        return Check(name="npu", status="ok", detail=why)
    x86 = machine.machine.lower() in X86_64
    if not (x86 or machine.qualcomm or machine.nodes) or machine.system == "Darwin":
        none = f"none: {machine.system} on {machine.machine}, not on a Snapdragon"
        return Check(name="npu", status="ok", detail=none)
    detail, remedy = test.error, _reinstall(test.engine)
    if not x86 and machine.system == "Linux":
        compute = [node for node in machine.nodes if any(word in node for word in COMPUTE_DSP)]
        if not compute:
            detail = f"no device node of the compute DSP ({', '.join(machine.nodes) or 'none'})"
            remedy = (
                "load the driver (modprobe fastrpc; a kernel with CONFIG_QCOM_FASTRPC) and "
                "install the DSP's firmware; in a container pass /dev/fastrpc-cdsp in"
            )
        elif not any(machine.nodes[node] for node in compute):
            detail = f"this user may not open {', '.join(compute)}"
            remedy = f"join the group of that node (ls -l {compute[0]}) and log in again"
    elif not x86:
        remedy = "install Qualcomm's NPU driver (Windows Update, or your maker's site)"
    return Check(name="npu", status="failed", detail=one_line(detail), remedy=remedy)


def check_engine(test: SelfTest) -> Check:
    """Whether an engine upscales a frame as it should."""
    name = f"engine {test.engine}"
    known = f"{test.version}, {test.device}: " if test.version else ""
    if test.error:
        detail = f"{known}{test.error}"
        remedy = _reinstall(test.engine)
        if test.levels_apart is not None:
            remedy += "; if cpu features lack VNNI, it is onnxruntime that is off: use openvino"
        return Check(name=name, status="failed", detail=detail, remedy=remedy)
    against = "the float network" if test.engine == REFERENCE else REFERENCE
    detail = (
        f"{known}{WIDTH}x{HEIGHT} in {test.frame_ms:.1f} ms, loaded in {test.load_ms:.0f} ms, "
        f"{test.levels_apart} levels from {against}"
    )
    return Check(name=name, status="ok", detail=detail)


def _reinstall(engine: str) -> str:
    package = PACKAGE_OF[engine]
    try:
        asked = {canonicalize_name(one.name): one.specifier for one in requirements()}
    except PackageNotFoundError:
        asked = {}
    return f"pip install --force-reinstall '{package}{asked.get(canonicalize_name(package), '')}'"


def _guarded(name: str, checks: Callable[[], list[Check]]) -> list[Check]:
    try:
        return checks()
    except PackageNotFoundError as error:
        detail, remedy = f"{error.name} is not installed", "pip install . in the repository"
    except Exception as error:  # noqa: BLE001 - a broken machine is a finding
        detail = f"{type(error).__name__}: {one_line(error)}"
        remedy = "report this line, with what --json prints"
    return [Check(name=name, status="failed", detail=detail, remedy=remedy)]
