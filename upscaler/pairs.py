"""Pairs of native renders, low and high resolution of the same instant, listed by a manifest.

`manifest.json` is a list with an object for each file: `file` (its path from the folder), `game`,
`scene`, `pair` (what the files of one instant share), `role` ("hr", or "x2" and the like for a low
resolution), `split` and `licence`; other keys are ignored. Splits are by scene, never by frame:
frames of one scene are so alike that a test on some of them would measure what training on the
others had memorised.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import msgspec

from protocol.errors import BadImageError

MANIFEST = "manifest.json"
HIGH_ROLE = "hr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Files of one instant: `low` and `high` are native renders at their own size."""

    name: str
    game: str
    scene: str
    licence: str
    low: Path
    high: Path


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the manifest."""

    file: str
    game: str
    scene: str
    pair: str
    role: str
    split: str
    licence: str


def read_manifest(root: Path) -> list[ManifestEntry]:
    """Return the entries of the manifest in `root`.

    Raises BadImageError, naming the manifest, when it is missing or damaged, when a scene is in two
    splits, or when two files claim the same role in one pair.
    """
    path = root / MANIFEST
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[ManifestEntry])
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}; the folder needs a manifest of its pairs"
        raise BadImageError(msg) from error
    except msgspec.DecodeError as error:
        msg = f"{path} is no manifest of pairs: {error}"
        raise BadImageError(msg) from error
    splits: dict[tuple[str, str], str] = {}
    files: dict[tuple[str, str], str] = {}
    for entry in entries:
        split = splits.setdefault((entry.game, entry.scene), entry.split)
        if split != entry.split:
            msg = (
                f"{path} has scene {entry.scene!r} of {entry.game} in the splits {split!r} and "
                f"{entry.split!r}; a scene belongs to one"
            )
            raise BadImageError(msg)
        file = files.setdefault((entry.pair, entry.role), entry.file)
        if file != entry.file:
            msg = f"{path} gives pair {entry.pair!r} two {entry.role} files, {file}, {entry.file}"
            raise BadImageError(msg)
    return entries


def find_pairs(root: Path, *, split: str, scale: Fraction) -> list[Pair]:
    """List the pairs of one split at one scale from the manifest in `root`, ordered by name.

    Raises BadImageError, naming the manifest, as `read_manifest` does, or when there is no such
    pair.
    """
    role = low_role(scale)
    files: dict[str, dict[str, ManifestEntry]] = {}
    for entry in read_manifest(root):
        if entry.split == split:
            files.setdefault(entry.pair, {})[entry.role] = entry
    pairs = [
        Pair(
            name=name,
            game=roles[HIGH_ROLE].game,
            scene=roles[HIGH_ROLE].scene,
            licence=roles[HIGH_ROLE].licence,
            low=root / roles[role].file,
            high=root / roles[HIGH_ROLE].file,
        )
        for name, roles in sorted(files.items())
        if HIGH_ROLE in roles and role in roles
    ]
    if not pairs:
        msg = f"{root / MANIFEST} has no pair of split {split!r} at scale {scale}"
        raise BadImageError(msg)
    return pairs


def low_role(scale: Fraction) -> str:
    """Return the role of the low-resolution files at one scale, such as "x1.5"."""
    return f"x{float(scale):g}"
