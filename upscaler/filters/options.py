"""Options of filters, and how a method is written with them: "fsr1:stops=0.5,limiter=1.0,denoise".

Sharpness runs in opposite directions in the originals, and keeps their scales under two names:
FSR1's `stops` are 0 at the sharpest, each halves it; NIS's `sharpness` is 1 at the sharpest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

from protocol.errors import BadRequestError, ErrorCode

DEFAULT_SHARPNESS_STOPS = 0.2
MAX_SHARPNESS_STOPS = 8.0
DEFAULT_NIS_SHARPNESS = 0.5
MAX_NIS_SCALE = 2

Limiter = Literal["1.0", "1.0.2"]
Border = Literal["zero", "clamp"]
Between = Literal["8bit", "float"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fsr1Options:
    """Options of FSR1; the defaults are those of AMD's shader 1.0.2, sample and guide.

    `sharpness_stops` is 0 at the sharpest; each stop halves it. `limiter` is what bounds the
    sharpening: "1.0" looks at the ring of four pixels, "1.0.2" at their centre too. `border` is
    what the sharpening sees outside the picture: "zero", as AMD's sample does, or "clamp", as most
    ports do. `denoise` halves the sharpening where the picture looks like noise. `between` is how
    EASU's result reaches RCAS: rounded to "8bit", as through a texture, or as "float".

    Raises BadRequestError (BAD_OPTION) for another value.
    """

    sharpness_stops: float = DEFAULT_SHARPNESS_STOPS
    limiter: Limiter = "1.0.2"
    border: Border = "zero"
    denoise: bool = False
    between: Between = "8bit"

    def __post_init__(self) -> None:
        check_sharpness(self.sharpness_stops)
        _check_choice("limiter", self.limiter, get_args(Limiter))
        _check_choice("border", self.border, get_args(Border))
        _check_choice("between", self.between, get_args(Between))

    @classmethod
    def parse(cls, given: Mapping[str, str], *, sharpness_stops: float) -> Self:
        """Read options by name; `sharpness_stops` holds where "stops" is not given."""
        _check_names("fsr1", given, ("stops", "limiter", "border", "denoise", "between"))
        stops = _number("stops", given["stops"]) if "stops" in given else sharpness_stops
        return cls(
            sharpness_stops=stops,
            # The constructor checks the words.
            limiter=given.get("limiter", "1.0.2"),  # type: ignore[arg-type]
            border=given.get("border", "zero"),  # type: ignore[arg-type]
            denoise=_switch("denoise", given.get("denoise", "off")),
            between=given.get("between", "8bit"),  # type: ignore[arg-type]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NisOptions:
    """Options of NVIDIA Image Scaling: `sharpness` from 0 (none) to 1."""

    sharpness: float = DEFAULT_NIS_SHARPNESS

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Self:
        """Read options by name; raises BadRequestError (BAD_OPTION) for others."""
        _check_names("nis", given, ("sharpness",))
        return cls(sharpness=_number("sharpness", given.get("sharpness", "0.5")))


def split_method(method: str) -> tuple[str, dict[str, str]]:
    """Return the name of a method and its options, of which a bare one is "on".

    Raises BadRequestError (BAD_OPTION) for an option without a name, or given twice.
    """
    name, _, rest = method.partition(":")
    options: dict[str, str] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not key or (equals and not value):
            msg = f"{method[:80]!r} has an option that is not written NAME=VALUE"
            raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)
        if key in options:
            msg = f"{method[:80]!r} gives {key!r} twice"
            raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)
        options[key] = value or "on"
    return name, options


def check_no_options(name: str, given: Mapping[str, str]) -> None:
    """Raise BadRequestError (BAD_OPTION) if a method without options was given some."""
    _check_names(name, given, ())


def check_sharpness(stops: float) -> None:
    """Raise BadRequestError unless `stops` is a sharpness of FSR1: 0 (sharpest) to 8."""
    if not (math.isfinite(stops) and 0 <= stops <= MAX_SHARPNESS_STOPS):
        msg = (
            f"a sharpness of {stops:g} stops is out of range; "
            f"choose 0 (sharpest) to {MAX_SHARPNESS_STOPS:g}"
        )
        raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)


def _check_names(method: str, given: Mapping[str, str], offered: tuple[str, ...]) -> None:
    for name in given:
        if name not in offered:
            remedy = f"it has {', '.join(offered)}" if offered else "it has none"
            msg = f"{method} has no option {name[:40]!r}; {remedy}"
            raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)


def _check_choice(name: str, value: str, offered: tuple[str, ...]) -> None:
    if value not in offered:
        msg = f"unknown {name} {value[:40]!r}; choose {' or '.join(offered)}"
        raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        msg = f"{name} needs a number, not {text[:40]!r}"
        raise BadRequestError(msg, code=ErrorCode.BAD_OPTION) from error


def _switch(name: str, text: str) -> bool:
    _check_choice(name, text, ("on", "off"))
    return text == "on"
