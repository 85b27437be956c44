"""Which files are pairs, and into which split each scene goes.

Splits are by scene, never by frame. A manifest brings its own; of its training scenes some are held
out for validation. Folders have none: a hash of game and scene deals whole scenes out, for each
game by itself, so that every game with enough scenes is trained on, validated with and tested on.
Scenes for validation may be named instead, so that it stays the same when scenes are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

from protocol.errors import BadImageError, BadRequestError
from upscaler.images import images_under, natural_order
from upscaler.pairs import HIGH_ROLE, MANIFEST, ManifestEntry, low_role, read_manifest

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SHARE = 0.1
"""Of a game's scenes, for validation and for test each."""
LISTED = 8
"""Scenes that an error names."""

SceneKey = tuple[str, str]
"""Game and scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Files of one instant; `low` is None where it is to be made from `high`."""

    name: str
    game: str
    scene: str
    licence: str
    split: str
    high: Path
    low: Path | None


def manifest_sources(
    root: Path,
    *,
    scale: Fraction,
    degraded: bool,
    validation: float | None = None,
    hold_out: Sequence[str] = (),
) -> list[Source]:
    """List the training, validation and test pairs of a manifest, frames of a scene in order.

    With `degraded`, its high-resolution frames alone. Unless the manifest has a validation split,
    the training scenes named in `hold_out` are it, or else whole ones to the share `validation`.
    Other splits, such as "sequence", stay out.

    Raises BadImageError, naming the manifest, when it is missing, damaged or has nothing to train
    on, and BadRequestError when `hold_out` names no such scene or leaves none to train on, or when
    a manifest with a validation split is asked for another.
    """
    low = low_role(scale)
    files: dict[str, dict[str, ManifestEntry]] = {}
    for entry in read_manifest(root):
        if entry.split in {TRAIN, VALIDATION, TEST}:
            files.setdefault(entry.pair, {})[entry.role] = entry
    sources = [
        Source(
            name=name,
            game=roles[HIGH_ROLE].game,
            scene=roles[HIGH_ROLE].scene,
            licence=roles[HIGH_ROLE].licence,
            split=roles[HIGH_ROLE].split,
            high=root / roles[HIGH_ROLE].file,
            low=None if degraded else root / roles[low].file,
        )
        for name, roles in files.items()
        if HIGH_ROLE in roles and (degraded or low in roles)
    ]
    if not any(source.split == TRAIN for source in sources):
        what = "high-resolution frame" if degraded else f"pair at {scale}x"
        remedy = "" if degraded else "; --degradation makes pairs from high-resolution frames alone"
        msg = f"{root / MANIFEST} has no {what} of split {TRAIN!r}{remedy}"
        raise BadImageError(msg)
    if any(source.split == VALIDATION for source in sources):
        if validation is not None or hold_out:
            msg = f"{root / MANIFEST} has a validation split of its own; ask for no other"
            raise BadRequestError(msg)
    else:
        training = {(each.game, each.scene) for each in sources if each.split == TRAIN}
        dealt = split_scenes(training, validation=validation, test=0, hold_out=hold_out)
        sources = [
            replace(each, split=dealt.get((each.game, each.scene), each.split)) for each in sources
        ]
    return sorted(sources, key=_order)


def folder_sources(
    high: Path,
    *,
    low: Path | None,
    game: str,
    licence: str,
    validation: float | None = None,
    test: float | None = None,
    hold_out: Sequence[str] = (),
    scene_per_file: bool = False,
) -> list[Source]:
    """List the images under `high`, and their partners under `low`, frames of a scene in order.

    Partners have the same path but for the file type. Every sub-folder is a scene, and so is what
    lies in no sub-folder; with `scene_per_file` every image is one. `hold_out` names the scenes to
    validate with, and only test scenes are dealt out then.

    Raises BadImageError, naming the folder or the file, when a folder is missing or has no image,
    or an image no partner, and BadRequestError when `hold_out` names no such scene or leaves none
    to train on.
    """
    highs = images_under(high)
    lows = None if low is None else images_under(low)
    if lows is not None:
        for lonely in sorted(highs.keys() ^ lows.keys()):
            file, other = (highs[lonely], low) if lonely in highs else (lows[lonely], high)
            msg = f"{file} has no partner {lonely}.* in {other}"
            raise BadImageError(msg)
    sources = []
    for stem, file in highs.items():
        folder = stem.rpartition("/")[0] or high.resolve().name
        source = Source(
            name=f"{game}/{stem}",
            game=game,
            scene=stem if scene_per_file else folder,
            licence=licence,
            split=TRAIN,
            high=file,
            low=None if lows is None else lows[stem],
        )
        sources.append(source)
    dealt = split_scenes(
        {(each.game, each.scene) for each in sources},
        validation=validation,
        test=SHARE if test is None else test,
        hold_out=hold_out,
    )
    return sorted(
        (replace(each, split=dealt[each.game, each.scene]) for each in sources), key=_order
    )


def split_scenes(
    scenes: Iterable[SceneKey], *, validation: float | None, test: float, hold_out: Sequence[str]
) -> dict[SceneKey, str]:
    """Return the split of each scene, as `deal_scenes` does where none is named in `hold_out`."""
    scenes = set(scenes)
    if not hold_out:
        share = SHARE if validation is None else validation
        return deal_scenes(scenes, validation=share, test=test)
    held_out = {_find_scene(name, scenes) for name in hold_out}
    if held_out == scenes:
        msg = f"all {len(scenes)} scenes are held out; leave one to train on"
        raise BadRequestError(msg)
    dealt = deal_scenes(scenes - held_out, validation=0, test=test)
    return dealt | dict.fromkeys(held_out, VALIDATION)


def deal_scenes(
    scenes: Iterable[SceneKey], *, validation: float, test: float
) -> dict[SceneKey, str]:
    """Return the split of each scene: test, validation or train.

    For each game by itself: scenes are ordered by the SHA-256 of "game/scene", which is the same on
    every machine; the first become test, the next validation, as many as the share of the game's
    scenes says, and at least one. But one scene is left to train on: a game of two scenes fills
    but one of the two splits, and a game of one scene none.
    """
    games: dict[str, list[SceneKey]] = {}
    for scene in sorted(set(scenes), key=lambda each: sha256("/".join(each).encode()).digest()):
        games.setdefault(scene[0], []).append(scene)
    dealt = {}
    for ordered in games.values():
        spare = len(ordered) - 1
        tested = _count(test, len(ordered), spare)
        validated = _count(validation, len(ordered), spare - tested)
        for index, scene in enumerate(ordered):
            held_out = TEST if index < tested else VALIDATION
            dealt[scene] = held_out if index < tested + validated else TRAIN
    return dealt


def _find_scene(name: str, scenes: set[SceneKey]) -> SceneKey:
    """Return the scene that is called SCENE or GAME/SCENE."""
    found = [scene for scene in sorted(scenes) if name in {scene[1], "/".join(scene)}]
    if len(found) == 1:
        return found[0]
    known = ["/".join(scene) for scene in found or sorted(scenes)]
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    what = f"scene {name!r} is of several games" if found else f"no scene {name!r} to train on"
    msg = f"{what}; choose from {', '.join(known[:LISTED])}{more}"
    raise BadRequestError(msg)


def _count(share: float, scenes: int, spare: int) -> int:
    return min(max(1, round(share * scenes)), spare) if share else 0


def _order(source: Source) -> tuple[str, str, list[tuple[int, str]]]:
    """Order by game, scene and frame: frame 10 after frame 9, with or without leading zeros."""
    return source.game, source.scene, natural_order(source.name)
