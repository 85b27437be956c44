"""Pairs of native renders in memory, and random crops drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protocol.errors import BadImageError, BadRequestError
from upscaler.images import read_image
from upscaler.pairs import Pair, find_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPair:
    """A pair in memory: (3, H, W) uint8 RGB tensors, `high` exactly `scale` times as large."""

    pair: Pair
    low: Tensor
    high: Tensor


def load_split(root: Path, *, split: str, scale: Fraction) -> list[LoadedPair]:
    """Load every pair of one split at one scale, ordered by name.

    Raises BadImageError when the manifest in `root` has none, or a file is unreadable or has the
    wrong size.
    """
    return [load_pair(pair, scale) for pair in find_pairs(root, split=split, scale=scale)]


def load_pair(pair: Pair, scale: Fraction) -> LoadedPair:
    """Read both files of a pair and check that their sizes stand in the ratio `scale`.

    Raises BadImageError, naming the file, when one is unreadable or the sizes do not fit.
    """
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


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Return the image in `path` as (H, W, 3) uint8 RGB; alpha is dropped.

    Raises BadImageError, naming the file, when it cannot be read as an image.
    """
    return np.ascontiguousarray(read_image(path)[:, :, 2::-1])


class PatchSampler:
    """Draws random aligned crops with random flips and rotations; games weigh the same.

    The generator is the only source of randomness, so a seed reproduces the sequence of batches.
    `patch` is a side of the low-resolution crop and a multiple of the scale's denominator.
    """

    def __init__(
        self, pairs: list[LoadedPair], *, scale: Fraction, patch: int, generator: torch.Generator
    ) -> None:
        if patch % scale.denominator:
            msg = f"at {scale}x a patch must be a multiple of {scale.denominator}, not {patch}"
            raise BadRequestError(msg)
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
