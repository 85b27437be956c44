"""Power, priority and memory of the NPU, as options that are checked by name and by value.

onnxruntime-qnn ignores an option that it does not know, takes any text for most values, and ends
the process for some (2.7.0: an unknown performance mode, set while a session runs). So nothing
reaches it but what is named here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from protocol.errors import BadRequestError
from upscaler.engines.socs import Soc, find_soc

PERFORMANCE_MODES = (
    "burst",
    "sustained_high_performance",
    "high_performance",
    "balanced",
    "low_balanced",
    "high_power_saver",
    "power_saver",
    "low_power_saver",
    "extreme_power_saver",
)
"""From the fastest to the most sparing. The provider's "default" is left out: set after another
mode it ends the process."""
PRIORITIES = ("low", "normal", "normal_high", "high")
MAX_RPC_LATENCY_US = 100_000
MAX_VTCM_MB = 16
MAX_IDLE_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuOptions:
    """How the NPU is driven. Raises BadRequestError (BAD_OPTION) for a value that there is not.

    performance_mode: clocks and votes while frames come.
    idle_mode, idle_after_s: the mode after so many seconds without a frame; 0 never changes it.
    rpc_control_latency_us: how late the CPU may wake up for the NPU, None for the driver's own.
    context_priority: who waits when several programs use the NPU.
    vtcm_mb: the NPU's fast memory that a network is compiled for, None for all of the chip's.
    optimization: how long the compiler searches, 1 to 3.
    soc: which chip this is where the system does not say, or which one is emulated.
    """

    performance_mode: str = "burst"
    idle_mode: str = "low_balanced"
    idle_after_s: float = 2.0
    rpc_control_latency_us: int | None = None
    context_priority: str = "normal"
    vtcm_mb: int | None = None
    optimization: int = 3
    soc: Soc | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        _check_choice("performance_mode", self.performance_mode, PERFORMANCE_MODES)
        _check_choice("idle_mode", self.idle_mode, PERFORMANCE_MODES)
        _check_choice("context_priority", self.context_priority, PRIORITIES)
        _check_range("idle_after_s", self.idle_after_s, 0, MAX_IDLE_S)
        _check_range("rpc_control_latency_us", self.rpc_control_latency_us, 0, MAX_RPC_LATENCY_US)
        _check_range("vtcm_mb", self.vtcm_mb, 1, MAX_VTCM_MB)
        _check_range("optimization", self.optimization, 1, 3)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Read "name=value" pairs, several in a text with commas between; the last one counts.

        Raises BadRequestError for an unknown name, a value that does not fit, or no pair.
        """
        found: dict[str, str | int | float | Soc] = {}
        for pair in (pair.strip() for text in texts for pair in text.split(",")):
            name, equals, value = (part.strip() for part in pair.partition("="))
            if not (equals and value):
                msg = f"{pair[:40]!r} is no NPU option; write it as name=value: {_known()}"
                raise BadRequestError(msg)
            if name not in NAMES:
                msg = f"unknown NPU option {name[:40]!r}; choose from {_known()}"
                raise BadRequestError(msg)
            found[name] = find_soc(value) if name == "soc" else _number_or_text(name, value)
        return cls(**found)  # type: ignore[arg-type] # __post_init__ checks what each one is

    @property
    def compiled_in(self) -> dict[str, str]:
        """The options that change what the compiler makes, as text."""
        vtcm = "all" if self.vtcm_mb is None else str(self.vtcm_mb)
        return {"optimization": str(self.optimization), "vtcm_mb": vtcm}


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuSettings:
    """Options, and where compiled contexts come from.

    contexts: a folder of `upscaler npu compile`; a network that is not in it is an error.
    cache: where to keep what is compiled at run time, None to compile at each start.
    asked: whether the user gave any of it, so that another engine is an error.
    """

    options: NpuOptions = field(default_factory=NpuOptions)
    contexts: Path | None = None
    cache: Path | None = None
    asked: bool = False


NAMES = tuple(each.name for each in fields(NpuOptions))
WHOLE = ("rpc_control_latency_us", "vtcm_mb", "optimization")


def _number_or_text(name: str, value: str) -> str | int | float:
    kind = int if name in WHOLE else float if name == "idle_after_s" else str
    try:
        return kind(value)
    except ValueError as error:
        number = "a whole number" if kind is int else "a number"
        msg = f"NPU option {name} takes {number}, not {value[:40]!r}"
        raise BadRequestError(msg) from error


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        msg = f"NPU option {name} has no value {value[:40]!r}; choose one of {', '.join(known)}"
        raise BadRequestError(msg)


def _check_range(name: str, value: float | None, least: float, most: float) -> None:
    # Written so that a NaN fails.
    if value is not None and not least <= value <= most:
        msg = f"NPU option {name} takes {least:g} to {most:g}, not {value:g}"
        raise BadRequestError(msg)


def _known() -> str:
    return ", ".join(NAMES)
