"""Pairs from wherever they lie: a prepared store, a manifest, or a standard test set."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from protocol.errors import BadImageError, BadRequestError
from protocol.frames import Size, upscaled_size
from trainer.store import INDEX, FramePair, Store
from upscaler.contract import Frame
from upscaler.images import read_image
from upscaler.pairs import MANIFEST, Pair, find_pairs

LOW_SUFFIX, HIGH_SUFFIX = "_LR", "_HR"
"""How the standard test sets (Set5, Set14, BSD100) name the two files of a pair."""


def load_pairs(root: Path, *, split: str, scale: Fraction) -> list[FramePair]:
    """Load the pairs of one split at one scale, ordered by name.

    `root` is a prepared store, a folder with a manifest, or a folder of `NAME_LR.png` and
    `NAME_HR.png`, which has no splits: all of it is given. Raises BadImageError, naming the file,
    when there is no such pair, or one is unreadable or of the wrong size.
    """
    if (root / INDEX).exists():
        store = Store(root)
        if store.scale != scale:
            msg = f"{root} was prepared for {store.scale}x, not for {scale}x; prepare another"
            raise BadImageError(msg)
        return store.pairs(split)
    if not (root / MANIFEST).exists() and (found := _standard_pairs(root)):
        return [load_pair(pair, scale=scale, split=split) for pair in found]
    return [
        load_pair(pair, scale=scale, split=split)
        for pair in find_pairs(root, split=split, scale=scale)
    ]


def load_pair(pair: Pair, *, scale: Fraction, split: str) -> FramePair:
    """Read both files of a pair and check that their sizes stand in the ratio `scale`.

    Raises BadImageError, naming the file, when one is unreadable or the sizes do not fit.
    """
    low, high = read_rgb(pair.low), read_rgb(pair.high)
    try:
        expected = upscaled_size(Size(low.shape[1], low.shape[0]), scale)
    except BadRequestError as error:
        msg = f"{pair.low}: {error}"
        raise BadImageError(msg) from error
    if Size(high.shape[1], high.shape[0]) != expected:
        msg = (
            f"{pair.high} is {high.shape[1]}x{high.shape[0]}, but {scale} times {pair.low} is "
            f"{expected}"
        )
        raise BadImageError(msg)
    return FramePair(
        name=pair.name,
        game=pair.game,
        scene=pair.scene,
        licence=pair.licence,
        split=split,
        low=low,
        high=high,
    )


def read_rgb(path: Path) -> Frame:
    """Return the image in `path` as (H, W, 3) uint8 RGB; alpha is dropped.

    Raises BadImageError, naming the file, when it cannot be read as an image.
    """
    return np.ascontiguousarray(read_image(path)[:, :, 2::-1])


def _standard_pairs(root: Path) -> list[Pair]:
    pairs = []
    for high in sorted(root.glob(f"*{HIGH_SUFFIX}.*")):
        name = high.stem.removesuffix(HIGH_SUFFIX)
        low = high.with_name(f"{name}{LOW_SUFFIX}{high.suffix}")
        if not low.is_file():
            msg = f"{high} has no low-resolution partner {low.name}"
            raise BadImageError(msg)
        pairs.append(Pair(name=name, game=root.name, scene=name, licence="", low=low, high=high))
    return pairs
