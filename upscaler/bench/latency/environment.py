"""What a run needs to be told apart from another: machine, versions, revision and load.

Nothing here names the machine or its user.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from upscaler.bench.latency.results import Machine
from upscaler.machine import cpu_name

PACKAGES = (
    "numba",
    "numpy",
    "onnxruntime",
    "onnxruntime-qnn",
    "opencv-python-headless",
    "openvino",
    "pyzmq",
)
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
BUSY = 0.5
"""Of a core: programs that wanted more before the first frame disturb it."""
STOLEN = 0.005
"""Of the time of all cores: half of what lies beyond a 99th percentile."""
STAT = Path("/proc/stat")
STAT_STATES = 8
"""User, nice, system, idle, iowait, irq, softirq and steal; guests' time is in user's (proc(5))."""
GIT_S = 10


def machine(*, load_start: list[float] | None, load_end: list[float] | None) -> Machine:
    """Describe this machine."""
    return Machine(
        cpu=cpu_name(),
        cores=os.cpu_count() or 1,
        memory_mib=_memory_mib(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        features=cpu_features(),
        governor=governor(),
        load_start=load_start,
        load_end=load_end,
    )


def cpu_features() -> list[str]:
    """Return what the processor can do, as LLVM names it; sorted."""
    from llvmlite import binding

    features: dict[str, bool] = binding.get_host_cpu_features()
    return sorted(name for name, has in features.items() if has)


def governor(path: Path = GOVERNOR) -> str | None:
    """Return what governs the clock frequency, such as "performance"; None where nothing says."""
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def load() -> list[float] | None:
    """Return the load averages of 1, 5 and 15 minutes, None where there are none (Windows)."""
    try:
        return [round(each, 2) for each in os.getloadavg()]
    except (AttributeError, OSError):
        return None


def busy(load_start: list[float] | None) -> str:
    """Return a warning when others used the machine before the first frame, or ""."""
    if load_start is None or load_start[0] <= BUSY:
        return ""
    return (
        f"the machine was busy before the first frame: a load of {load_start[0]:.2f} "
        f"(above {BUSY:g}) on {os.cpu_count()} cores; times are longer and vary"
    )


def processor_ticks(path: Path = STAT) -> list[int] | None:
    """Return what all cores have spent in each of `STAT_STATES` so far; None where nothing says."""
    try:
        first = path.read_text(encoding="ascii").partition("\n")[0]
        ticks = [int(each) for each in first.split()[1 : 1 + STAT_STATES]]
    except (OSError, ValueError):
        return None
    return ticks if len(ticks) == STAT_STATES else None


def stolen(before: list[int] | None, after: list[int] | None) -> float | None:
    """Return the share of their time that a virtual machine's cores were not run by its host."""
    if before is None or after is None:
        return None
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return round(spent[-1] / sum(spent), 4) if sum(spent) > 0 else None


def robbed(share: float | None) -> str:
    """Return a warning when a host kept the cores from running, or ""."""
    if share is None or share <= STOLEN:
        return ""
    return (
        f"the host of this virtual machine stole {share:.1%} of its time (above {STOLEN:.1%}); "
        "the highest percentiles are the host's"
    )


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that matters and is installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_revision(folder: Path = Path(__file__).parent) -> str | None:
    """Return the commit of the source, with "+" when files differ from it; None outside git."""
    # Installed below somebody else's repository, it is not that one's commit that matters.
    if not _git(folder, "ls-files", "--error-unmatch", Path(__file__).name):
        return None
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    return f"{commit}+" if _git(folder, "status", "--porcelain", "-uno") else commit


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - no part of it comes from outside
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - wherever git is installed
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=GIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, OSError, ValueError):
        return None
