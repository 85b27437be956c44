"""Whether the engines work, and why there is an NPU or none.

Each check is a function of what was read from the machine, so that tests can give it other ones.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Container, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from packaging.utils import canonicalize_name

from upscaler.doctor.check import X86_64, Check, requirements
from upscaler.selftest import HEIGHT, REFERENCE, WIDTH, SelfTest, one_line

PACKAGE_OF = {"npu": "onnxruntime-qnn", "openvino": "openvino", "onnxruntime": "onnxruntime"}
NPU_NODES = ("adsprpc-smd*", "fastrpc-*")
"""Device nodes of FastRPC, through which Linux talks to Qualcomm's DSPs: the names of Qualcomm's
kernel and of mainline."""
COMPUTE_DSP = ("cdsp", "adsprpc")
"""In the names of those that reach the compute DSP, where the NPU is; Qualcomm's reaches all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What decides whether there can be an NPU."""

    system: str
    machine: str
    qualcomm: bool
    """Whether the processor says that it is Qualcomm's."""
    nodes: Mapping[str, bool]
    """FastRPC's device nodes, and whether this user may read and write them; Linux only."""


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


def check_engines(
    tests: Mapping[str, SelfTest], machine: Machine, *, asked: Container[str] = PACKAGE_OF.values()
) -> list[Check]:
    """The NPU, then each engine by its self-test. What this machine cannot have fails nothing.

    `asked` are the packages that this project asks for here: there are no wheels of the others.
    """
    npu = check_npu(tests["npu"], machine)
    missing = [
        name
        for name, test in tests.items()
        if test.error and (PACKAGE_OF[name] not in asked or (name == "npu" and npu.status == "ok"))
    ]
    return [
        npu,
        *(
            Check(name=f"engine {name}", status="ok", detail="not for this machine")
            if name in missing
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
            remedy += "; if that does not help, report this line with what --json prints"
        return Check(name=name, status="failed", detail=detail, remedy=remedy)
    against = "the float network" if test.engine == REFERENCE else REFERENCE
    detail = (
        f"{known}{WIDTH}x{HEIGHT} in {test.frame_ms:.1f} ms, loaded in {test.load_ms:.0f} ms, "
        f"{test.levels_apart} level{'' if test.levels_apart == 1 else 's'} from {against}"
    )
    return Check(name=name, status="ok", detail=detail)


def _reinstall(engine: str) -> str:
    package = PACKAGE_OF[engine]
    try:
        asked = {canonicalize_name(one.name): one.specifier for one in requirements()}
    except PackageNotFoundError:
        asked = {}
    return f"pip install --force-reinstall '{package}{asked.get(canonicalize_name(package), '')}'"
