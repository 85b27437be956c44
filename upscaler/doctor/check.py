"""What a check is, and what this project asks for."""

from __future__ import annotations

from importlib.metadata import requires
from typing import Literal

import msgspec
from packaging.requirements import Requirement

X86_64, ARM64 = ("x86_64", "amd64"), ("aarch64", "arm64")
Status = Literal["ok", "warning", "failed"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the screen; `remedy` says what to do unless the status is "ok"."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def requirements() -> list[Requirement]:
    """What this project asks for on this machine, out of its own metadata.

    Raises PackageNotFoundError where it runs without having been installed.
    """
    asked = [Requirement(text) for text in requires("upscaler") or []]
    return [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
