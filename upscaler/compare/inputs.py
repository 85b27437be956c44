"""What is compared on: folders of pairs with a manifest, folders of images, images, videos.

Frames are read when their turn comes, so that a video of an hour needs no more memory than one of a
second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from protocol.errors import BadImageError
from protocol.frames import Size, check_size, upscaled_size
from upscaler.contract import Frame
from upscaler.images import images_under, natural_order, read_image
from upscaler.pairs import MANIFEST, find_pairs

SEQUENCE_SPLIT = "sequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A frame to upscale and, where there is one, the native render to compare with.

    `load` returns both as (height, width, 3) uint8 BGR, and raises BadImageError naming the file;
    `where` is what an error about their sizes names.
    `follows` says that the shot before it is the frame before it, of the same scene.
    """

    name: str
    scene: str
    where: str
    follows: bool
    load: Callable[[], tuple[Frame, Frame | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """Frames of a video as (height, width, 3) uint8 BGR; `count` is None where it is unknown."""

    path: Path
    count: int | None
    frames: Iterator[Frame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """Shots in order; `count` is None where only reading to the end would tell."""

    count: int | None
    frames: Iterator[Shot]


def find_shots(
    source: Path,
    native: Path | None,
    *,
    scale: Fraction,
    split: str,
    sequence: bool,
    lonely: bool = False,
) -> Shots:
    """List the shots of a folder with a manifest, of a folder of images, or of an image.

    `native` holds the native renders of a source that has no manifest: a folder with the same file
    names, or an image. With `lonely`, a name that is in one folder alone becomes a shot that cannot
    be loaded, instead of an error. `scale` and `split` choose among a manifest's pairs. `sequence`
    says that the images of a folder are consecutive frames; those of a manifest's split "sequence"
    are.

    Raises BadImageError, naming the file or folder, when one is missing, or when the two folders do
    not hold the same names.
    """
    if (source / MANIFEST).is_file():
        if native is not None:
            msg = f"{source} has a manifest of its pairs; leave --native out"
            raise BadImageError(msg)
        return _of_manifest(source, scale=scale, split=split)
    return _of_images(source, native, sequence=sequence, lonely=lonely)


def video_shots(source: Video, native: Video | None) -> Shots:
    """List the shots of a video, and of one of its native renders with as many frames."""
    counts = {source.count} if native is None else {source.count, native.count}
    if native is not None and None not in counts and len(counts) > 1:
        msg = f"{source.path} has {source.count} frames, but {native.path} {native.count}"
        raise BadImageError(msg)

    def shots() -> Iterator[Shot]:
        for index, frame in enumerate(source.frames):
            reference = None if native is None else next(native.frames, None)
            if native is not None and reference is None:
                msg = f"{native.path} ends after {index} frames, before {source.path} does"
                raise BadImageError(msg)
            yield Shot(
                name=f"{source.path.stem}/{index:06d}",
                scene=source.path.stem,
                where=f"{native.path if native else source.path}, frame {index},",
                follows=index > 0,
                load=partial(_as_read, frame, reference),
            )

    return Shots(count=source.count, frames=shots())


def result_size(low: Frame, native: Frame | None, *, scale: Fraction, where: str) -> Size:
    """Return the size to upscale to: the native render's, or `scale` times the frame's.

    Raises BadRequestError for sizes out of range, and BadImageError, naming `where`, when the
    native render is no upscaling of the frame, by 1 to 4 in both directions.
    """
    size = Size(low.shape[1], low.shape[0])
    check_size(size)
    if native is None:
        return upscaled_size(size, scale)
    large = Size(native.shape[1], native.shape[0])
    wide, tall = large.width / size.width, large.height / size.height
    # Sizes are whole pixels, so both ratios may differ by what one pixel makes.
    slack = 1 / min(size.width, size.height)
    if not (1 <= wide <= 4 and 1 <= tall <= 4 and abs(wide - tall) <= slack):
        msg = f"{where} is {large}, which is no upscaling of {size} by 1 to 4"
        raise BadImageError(msg)
    return large


def _of_manifest(root: Path, *, scale: Fraction, split: str) -> Shots:
    pairs = find_pairs(root, split=split, scale=scale)
    consecutive = split == SEQUENCE_SPLIT
    shots, before = [], None
    for pair in pairs:
        scene = pair.scene if pair.scene.startswith(pair.game) else f"{pair.game}/{pair.scene}"
        shots.append(
            Shot(
                name=pair.name,
                scene=scene,
                where=str(pair.high),
                follows=consecutive and scene == before,
                load=partial(_read_pair, pair.low, pair.high),
            )
        )
        before = scene
    return Shots(count=len(shots), frames=iter(shots))


def _of_images(source: Path, native: Path | None, *, sequence: bool, lonely: bool) -> Shots:
    lows = images_of(source)
    highs = {} if native is None else images_of(native)
    if native is not None and len(lows) == len(highs) == 1:
        highs = dict(zip(lows, highs.values(), strict=True))
    elif native is not None and not lonely:
        check_same_names(source, lows, native, highs)
    scene = source.resolve().name if source.is_dir() else source.stem
    alone = {
        name: f"{native if name in lows else source} has none called {name}"
        for name in (lows.keys() ^ highs.keys() if native is not None else ())
    }
    shots = [
        Shot(
            name=name,
            scene=scene,
            where=str(highs.get(name, lows.get(name))),
            follows=sequence and index > 0,
            load=partial(_fail, alone[name])
            if name in alone
            else partial(_read_pair, lows[name], highs.get(name)),
        )
        for index, name in enumerate(sorted({**lows, **highs}, key=natural_order))
    ]
    return Shots(count=len(shots), frames=iter(shots))


def images_of(path: Path) -> dict[str, Path]:
    """Return an image, or those of a folder, by name; raises BadImageError, naming the path."""
    return {path.stem: path} if path.is_file() else images_under(path)


def check_same_names(
    first: Path, ours: dict[str, Path], second: Path, theirs: dict[str, Path]
) -> None:
    """Raise BadImageError, naming a file, unless both folders hold images of the same names."""
    for folder, names, other, others in (
        (first, ours, second, theirs),
        (second, theirs, first, ours),
    ):
        missing = next((name for name in names if name not in others), None)
        if missing is not None:
            msg = (
                f"{folder} has {len(names)} images and {other} has {len(others)}: "
                f"{other} has none called {missing}"
            )
            raise BadImageError(msg)


def _read_pair(low: Path, high: Path | None) -> tuple[Frame, Frame | None]:
    return _colours(low), None if high is None else _colours(high)


def _fail(reason: str) -> tuple[Frame, Frame | None]:
    raise BadImageError(reason)


def _colours(path: Path) -> Frame:
    return np.ascontiguousarray(read_image(path)[:, :, :3])


def _as_read(low: Frame, high: Frame | None) -> tuple[Frame, Frame | None]:
    return low, high
