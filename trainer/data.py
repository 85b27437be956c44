"""Pairs of native renders, low and high resolution of the same instant, and crops drawn from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPair:
    """A pair in memory: (3, H, W) uint8 RGB tensors, `high` exactly `scale` times as large."""

    pair: Pair
    low: Tensor
    high: Tensor


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Return the image in `path` as (H, W, 3) uint8 RGB.

    Raises BadImageError, naming the file, when it cannot be read as an image.
    """
    encoded = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if image is None:
        reason = "is not an image that OpenCV can read" if encoded.size else "is missing or empty"
        msg = f"{path} {reason}"
        raise BadImageError(msg)
    return np.ascontiguousarray(image[:, :, ::-1])


def find_pairs(root: Path, *, split: str, scale: Fraction) -> list[Pair]:
    """List the pairs of one split at one scale from the manifest in `root`, ordered by name."""
    path = root / MANIFEST
    if not path.is_file():
        msg = f"{path} is missing: the folder needs a manifest of its pairs"
        raise BadImageError(msg)
    role = f"x{float(scale):g}"
    files: dict[str, dict[str, dict[str, str]]] = {}
    for entry in json.loads(path.read_text(encoding="utf-8")):
        if entry["split"] == split:
            files.setdefault(entry["pair"], {})[entry["role"]] = entry
    pairs = [
        Pair(
            name=name,
            game=roles["hr"]["game"],
            scene=roles["hr"]["scene"],
            licence=roles["hr"]["licence"],
            low=root / roles[role]["file"],
            high=root / roles["hr"]["file"],
        )
        for name, roles in sorted(files.items())
        if "hr" in roles and role in roles
    ]
    if not pairs:
        msg = f"{path} has no pair of split {split!r} at scale {scale}"
        raise BadImageError(msg)
    return pairs


def load_pair(pair: Pair, scale: Fraction) -> LoadedPair:
    """Read both files of a pair and check that their sizes stand in the ratio `scale`."""
    low, high = read_rgb(pair.low), read_rgb(pair.high)
    expected = tuple(int(side * scale) for side in low.shape[:2])
    if high.shape[:2] != expected:
        msg = (
            f"{pair.high} is {high.shape[1]}x{high.shape[0]}, but {scale} times {pair.low} is "
            f"{expected[1]}x{expected[0]}"
        )
        raise BadImageError(msg)
    return LoadedPair(
        pair=pair,
        low=torch.from_numpy(low).permute(2, 0, 1).contiguous(),
        high=torch.from_numpy(high).permute(2, 0, 1).contiguous(),
    )


class PatchSampler:
    """Draws random aligned crops with random flips and rotations; games weigh the same.

    The generator is the only source of randomness, so a seed reproduces the sequence of batches.
    """

    def __init__(
        self, pairs: list[LoadedPair], *, scale: Fraction, patch: int, generator: torch.Generator
    ) -> None:
        for loaded in pairs:
            if min(loaded.low.shape[1:]) < patch:
                msg = f"{loaded.pair.low} is smaller than the training patch of {patch} pixels"
                raise BadImageError(msg)
        self._pairs = pairs
        self._scale = scale
        self._patch = patch
        self._generator = generator
        games = [loaded.pair.game for loaded in pairs]
        self._weights = torch.tensor([1.0 / games.count(game) for game in games])

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """Return (N, 3, P, P) and (N, 3, scale P, scale P) float32 RGB in 0..1."""
        chosen = torch.multinomial(
            self._weights, batch, replacement=True, generator=self._generator
        ).tolist()
        lows, highs = zip(*(self._crop(self._pairs[index]) for index in chosen), strict=True)
        return torch.stack(lows).float() / 255.0, torch.stack(highs).float() / 255.0

    def _crop(self, loaded: LoadedPair) -> tuple[Tensor, Tensor]:
        block, patch = self._scale.denominator, self._patch
        high_patch = int(patch * self._scale)
        limits = [(side - patch) // block + 1 for side in loaded.low.shape[1:]]
        row, column = (self._random(limit) * block for limit in limits)
        high_row, high_column = int(row * self._scale), int(column * self._scale)
        low = loaded.low[:, row : row + patch, column : column + patch]
        high = loaded.high[
            :, high_row : high_row + high_patch, high_column : high_column + high_patch
        ]
        symmetry = self._random(8)
        if symmetry & 4:
            low, high = low.flip(2), high.flip(2)
        return low.rot90(symmetry & 3, (1, 2)), high.rot90(symmetry & 3, (1, 2))

    def _random(self, limit: int) -> int:
        return int(torch.randint(limit, (), generator=self._generator))
