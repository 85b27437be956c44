"""Pairs of native renders, low and high resolution of the same instant, listed by a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from protocol.errors import BadImageError

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Files of one instant: `low` and `high` are native renders at their own size."""

    name: str
    game: str
    scene: str
    licence: str
    low: Path
    high: Path


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the manifest. `role` is "hr", or "x2" and the like for a low resolution."""

    file: str
    game: str
    scene: str
    pair: str
    role: str
    split: str
    licence: str


def find_pairs(root: Path, *, split: str, scale: Fraction) -> list[Pair]:
    """List the pairs of one split at one scale from the manifest in `root`, ordered by name.

    Raises BadImageError, naming the manifest, when it is missing, damaged or holds no such pair.
    """
    path = root / MANIFEST
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[_Entry])
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}; the folder needs a manifest of its pairs"
        raise BadImageError(msg) from error
    except msgspec.DecodeError as error:
        msg = f"{path} is no manifest of pairs: {error}"
        raise BadImageError(msg) from error
    role = f"x{float(scale):g}"
    files: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.split == split:
            files.setdefault(entry.pair, {})[entry.role] = entry
    pairs = [
        Pair(
            name=name,
            game=roles["hr"].game,
            scene=roles["hr"].scene,
            licence=roles["hr"].licence,
            low=root / roles[role].file,
            high=root / roles["hr"].file,
        )
        for name, roles in sorted(files.items())
        if "hr" in roles and role in roles
    ]
    if not pairs:
        msg = f"{path} has no pair of split {split!r} at scale {scale}"
        raise BadImageError(msg)
    return pairs
