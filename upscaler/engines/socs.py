"""The chips that contexts are compiled for, and which of them this machine is.

A context holds instructions for one Hexagon architecture and one size of its memory, so it is
compiled for a chip and not for "the NPU". Numbers are QNN's (QnnTypes.h, QNN_SOC_MODEL_*); a
context was built here for every one of them.
"""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import msgspec

from protocol.errors import BadRequestError


class Soc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chip: its code, the name it is sold by, QNN's number and the Hexagon architecture."""

    code: str
    name: str
    id: int
    architecture: int

    @property
    def label(self) -> str:
        """Both names, as in "SM8650 (Snapdragon 8 Gen 3)"."""
        return f"{self.code} ({self.name})"


def _soc(code: str, name: str, number: int, architecture: int) -> Soc:
    return Soc(code=code, name=f"Snapdragon {name}", id=number, architecture=architecture)


SOCS = (
    _soc("SM8450", "8 Gen 1", 36, 69),
    _soc("SM8475", "8+ Gen 1", 42, 69),
    _soc("SM8550", "8 Gen 2", 43, 73),
    _soc("SM8635", "8s Gen 3", 68, 73),
    _soc("SM8650", "8 Gen 3", 57, 75),
    _soc("SM8735", "8s Gen 4", 85, 79),
    _soc("SM8750", "8 Elite", 69, 79),
    _soc("SM8850", "8 Elite Gen 5", 87, 81),
    _soc("SC8380XP", "X Elite", 60, 73),
)
PARTS = {
    "X1E001DE": "SC8380XP",
    "X1E78100": "SC8380XP",
    "X1E80100": "SC8380XP",
    "X1E84100": "SC8380XP",
}
"""Part numbers of X Elite: Windows and Linux name the chip by them."""


PROCESSOR_KEY = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
EMULATED = "SM8550"
"""What the emulator is unless told otherwise: its v73 is also in X Elite. Without a chip it would
be a v68, whose results differ."""


def find_soc(text: str) -> Soc:
    """Return the chip called `text`: a code or the name it is sold by, in any case.

    "SM8650", "sm8650", "8 Gen 3", "snapdragon-8-gen-3" are one. Raises BadRequestError (BAD_OPTION)
    for any other text, with the chips there are.
    """
    wanted = _folded(text)
    for soc in SOCS:
        if wanted and wanted in (_folded(soc.code), _folded(soc.name)):
            return soc
    for part, code in PARTS.items():
        if wanted == _folded(part):
            return find_soc(code)
    known = ", ".join(soc.label for soc in SOCS)
    msg = f"unknown chip {text[:40]!r}; choose one of {known}"
    raise BadRequestError(msg)


def parse_socs(text: str) -> list[Soc]:
    """Return the chips of a list with commas, each once, in its order.

    Raises BadRequestError for an empty list or a chip that is not known.
    """
    return list(dict.fromkeys(find_soc(each) for each in text.split(",")))


def choose_soc(said: str | None, wanted: Soc | None) -> Soc:
    """Return which chip an engine runs on.

    `said` is what the system says, None when the NPU is emulated, which can be any chip; `wanted`
    is what the user says. Raises BadRequestError where the two contradict each other. A chip that
    is not known has the number 0, and what the system says for a name.
    """
    if said is None:
        return wanted or find_soc(EMULATED)
    found = soc_named_in(said)
    if found is not None and wanted is not None and wanted != found:
        msg = f"soc={wanted.code} was asked for, and this machine is {found.label}; leave it out"
        raise BadRequestError(msg)
    unknown = Soc(code="unknown", name=said[:80] or "nothing", id=0, architecture=0)
    return found or wanted or unknown


def soc_named_in(text: str) -> Soc | None:
    """Return the one chip that a system's description names; None for none, or more than one.

    "qcom,sm8650-mtp" and "Snapdragon(R) X Elite - X1E78100 - Qualcomm(R) Oryon(TM) CPU" name one.
    """
    words = set(re.findall(r"[a-z0-9]+", text.lower()))
    codes = {soc.code for soc in SOCS if soc.code.lower() in words}
    codes |= {code for part, code in PARTS.items() if part.lower() in words}
    return find_soc(codes.pop()) if len(codes) == 1 else None


def description_of_this_machine(root: Path = Path("/")) -> str:
    """What the system says of its chip, empty when it says nothing.

    Linux by the device tree and Qualcomm's own file below `root`, Windows by the registry.
    """
    said = []
    for file in ("proc/device-tree/compatible", "sys/devices/soc0/machine"):
        try:
            said.append((root / file).read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    said.append(_processor_of_windows())
    return " ".join(each.strip() for each in said if each.strip())


def _processor_of_windows() -> str:
    """The name that Windows shows for the processor, empty elsewhere."""
    said = ""
    if sys.platform == "win32":
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, PROCESSOR_KEY) as opened:
                said = str(winreg.QueryValueEx(opened, "ProcessorNameString")[0])
        except OSError:
            said = platform.processor()
    return said


def _folded(text: str) -> str:
    """Letters, digits and the plus of "8+", without the brand."""
    return re.sub(r"[^a-z0-9+]", "", text.lower().replace("snapdragon", "").replace("(r)", ""))
