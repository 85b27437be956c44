"""Random aligned crops with flips and rotations, gathered on the device that trains.

All pixels of a split lie in one flat tensor on that device, and a batch is one gather for each of
the two sizes: no image is decoded, nothing is copied from the host but a handful of integers, so
that neither the decoder nor a loader limits a GPU.

Which crops make up a step is a pure function of the seed and the step's number (a Philox
generator), the same on every device, process and restart. So a resumed run continues exactly, and
of several processes each takes its own rows of the same batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protocol.errors import BadImageError, BadRequestError
from trainer.store import RGB, Entry, Extent, Store

PLANNED = 256
"""Steps that are drawn together: one call of the generator costs as much as many numbers."""
Weighting = Literal["frames", "games"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """One batch: for each crop the number of its pair, its corner in the low image, its symmetry.

    All (N,) int64. Bits of `symmetry`: 1 transposes, 2 flips rows, 4 flips columns; together they
    are the eight symmetries of the square.
    """

    pair: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    symmetry: NDArray[np.int64]


class PatchSampler:
    """Draws crops of one split of a store.

    `patch` is the side of the low-resolution crop, a multiple of the scale's denominator. With the
    weighting "frames" every frame is as likely as any other, with "games" every game.

    Raises BadImageError when the split is empty or a frame is smaller than a patch, and
    BadRequestError for a patch that the scale does not allow or pixels that exceed the device.
    """

    def __init__(
        self,
        store: Store,
        *,
        split: str = "train",
        patch: int,
        seed: int,
        weighting: Weighting = "frames",
        device: torch.device | None = None,
    ) -> None:
        scale = store.scale
        if patch % scale.denominator:
            msg = f"at {scale}x a patch must be a multiple of {scale.denominator}, not {patch}"
            raise BadRequestError(msg)
        store.pairs(split)  # says what is wrong with an empty one
        entries = store.entries(split)
        for entry in entries:
            if min(entry.low.height, entry.low.width) < patch:
                msg = f"{entry.name} is smaller than the training patch of {patch} pixels"
                raise BadImageError(msg)
        self._patch = patch
        self._numerator, self._block = scale.numerator, scale.denominator
        self._seed = seed
        self._weights = _weights(entries, weighting)
        self._limits = np.array(
            [
                [(side - patch) // self._block + 1 for side in (each.low.height, each.low.width)]
                for each in entries
            ]
        )
        self._device = device or torch.device("cpu")
        self._pixels = _on_device(store, self._device)
        self._low = self._places([entry.low for entry in entries])
        self._high = self._places([entry.high for entry in entries])
        self._planned: tuple[int, list[Crops]] | None = None
        self._batch = 0

    def plan(self, step: int, batch: int) -> Crops:
        """Return which crops make up the batch of a step."""
        chunk, index = divmod(step, PLANNED)
        if self._planned is None or self._planned[0] != chunk or self._batch != batch:
            self._planned, self._batch = (chunk, self._plan(chunk, batch)), batch
        return self._planned[1][index]

    def draw(self, step: int, batch: int, *, rank: int = 0, of: int = 1) -> tuple[Tensor, Tensor]:
        """Return the crops of a step: (N, 3, P, P) and (N, 3, scale P, scale P) uint8 RGB.

        Both lie on the device, in channels-last memory.
        """
        return self.gather(self.table(step, batch, rank=rank, of=of))

    def table(self, step: int, batch: int, *, rank: int = 0, of: int = 1) -> Tensor:
        """Return which crops a step takes, as `gather` wants it, on the device.

        Of `of` processes, the one with number `rank` gets every `of`-th crop of the batch.
        """
        crops = self.plan(step, batch)
        mine = slice(rank, None, of)
        table = np.stack(
            [crops.pair[mine], crops.row[mine], crops.column[mine], crops.symmetry[mine]]
        )
        return torch.from_numpy(table).to(self._device, non_blocking=True)

    def gather(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Cut the crops that `table` names, (4, N) int64: pair, row, column, symmetry.

        Only tensor operations without synchronisation, so that a CUDA graph can hold it.
        """
        pair, row, column, symmetry = table
        patch, up = self._patch, self._numerator
        low = self._cut(self._low[pair], row, column, symmetry, patch)
        high_row, high_column = (each // self._block * up for each in (row, column))
        side = patch // self._block * up
        return low, self._cut(self._high[pair], high_row, high_column, symmetry, side)

    def _cut(
        self, place: Tensor, row: Tensor, column: Tensor, symmetry: Tensor, side: int
    ) -> Tensor:
        offset, width = place.unbind(1)
        steps = torch.arange(side, device=self._device)
        transposed, up, left = ((symmetry & bit).bool()[:, None, None] for bit in (1, 2, 4))
        y, x = steps[None, :, None], steps[None, None, :]
        y, x = torch.where(transposed, x, y), torch.where(transposed, y, x)
        y, x = torch.where(up, side - 1 - y, y), torch.where(left, side - 1 - x, x)
        first = (offset + row * width + column)[:, None, None]
        where = first + y * width[:, None, None] + x
        crops = self._pixels.index_select(0, where.flatten())
        return crops.view(*where.shape, RGB).permute(0, 3, 1, 2)

    def _plan(self, chunk: int, batch: int) -> list[Crops]:
        seeds = np.random.SeedSequence((self._seed, chunk))
        generator = np.random.Generator(np.random.Philox(seeds))
        shape = (PLANNED, batch)
        pairs = generator.choice(len(self._weights), shape, p=self._weights)
        limits = self._limits[pairs]
        corners = (generator.random((*shape, 2)) * limits).astype(np.int64) * self._block
        symmetries = generator.integers(0, 8, shape)
        return [
            Crops(
                pair=pairs[step],
                row=corners[step, :, 0],
                column=corners[step, :, 1],
                symmetry=symmetries[step],
            )
            for step in range(PLANNED)
        ]

    def _places(self, extents: Sequence[Extent]) -> Tensor:
        """Offset and width of every image, (pairs, 2) int64."""
        places = [(each.offset, each.width) for each in extents]
        return torch.tensor(places, device=self._device)


def _weights(entries: Sequence[Entry], weighting: Weighting) -> NDArray[np.float64]:
    games = [entry.game for entry in entries]
    weights = np.array([1.0 if weighting == "frames" else 1.0 / games.count(g) for g in games])
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def _on_device(store: Store, device: torch.device) -> Tensor:
    """All pixels as (pixels, 3) uint8: on the CPU the mapped file itself, elsewhere a copy."""
    pixels = torch.from_numpy(store.pixels)
    try:
        return pixels.to(device)
    except torch.OutOfMemoryError as error:
        gigabytes = store.pixels.nbytes / 1e9
        msg = f"{store.root} has {gigabytes:.1f} GB of pixels, more than {device} can hold"
        raise BadRequestError(msg) from error
