from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from protocol.errors import BadImageError, BadRequestError
from trainer.sampler import PLANNED, PatchSampler
from trainer.store import FramePair, Store, StoreWriter

TWO = Fraction(2)
CELLS = 10


def position_pair(scale: Fraction, *, name: str = "a", game: str = "one") -> FramePair:
    """Each pixel holds the row and column of the block of `scale` that it belongs to."""

    def picture(side: int) -> np.ndarray:
        index = np.repeat(np.arange(CELLS, dtype=np.uint8), side)
        row, column = np.meshgrid(index, index, indexing="ij")
        return np.stack([row, column, np.zeros_like(row)], axis=-1)

    return FramePair(
        name=name,
        game=game,
        scene="s",
        licence="CC0-1.0",
        split="train",
        low=picture(scale.denominator),
        high=picture(scale.numerator),
    )


def make(root: Path, pairs: list[FramePair], scale: Fraction = TWO) -> Store:
    with StoreWriter(root / "store", scale=scale, degradation="native") as writer:
        for pair in pairs:
            writer.add(pair)
    return Store(root / "store")


@pytest.mark.parametrize("scale", [TWO, Fraction(3, 2), Fraction(3)])
def test_crops_are_aligned_and_turned_alike(tmp_path: Path, scale: Fraction) -> None:
    store = make(tmp_path, [position_pair(scale, name=name) for name in "ab"], scale)
    low, high = PatchSampler(store, patch=4 * scale.denominator, seed=1).draw(0, 64)
    one_of_each = low[:, :, :: scale.denominator, :: scale.denominator]
    assert torch.equal(one_of_each, high[:, :, :: scale.numerator, :: scale.numerator])
    assert low.dtype == high.dtype == torch.uint8
    assert low.is_contiguous(memory_format=torch.channels_last)
    assert len({tuple(each[:2, 0, 0].tolist()) for each in low}) > 20  # from everywhere


def test_all_eight_symmetries_occur(tmp_path: Path) -> None:
    low, _ = PatchSampler(make(tmp_path, [position_pair(TWO)]), patch=2, seed=1).draw(0, 200)
    seen = {
        tuple((each[:2] - each[:2].amin((1, 2), keepdim=True)).flatten().tolist()) for each in low
    }
    assert len(seen) == 8


def test_a_crop_is_cut_from_its_place(tmp_path: Path) -> None:
    sampler = PatchSampler(make(tmp_path, [position_pair(TWO)]), patch=3, seed=1)
    table = torch.tensor([[0], [5], [2], [0]])
    low, high = sampler.gather(table)
    assert low[0, 0].tolist() == [[5] * 3, [6] * 3, [7] * 3]
    assert low[0, 1].tolist() == [[2, 3, 4]] * 3
    assert high[0, 0, :, 0].tolist() == [5, 5, 6, 6, 7, 7]


def test_batches_are_a_function_of_seed_and_step(store_x2: Path) -> None:
    store = Store(store_x2)
    first, second = (PatchSampler(store, patch=16, seed=1) for _ in range(2))
    for step in (PLANNED + 1, 0, PLANNED, 2):  # in any order
        for one, other in zip(first.draw(step, 4), second.draw(step, 4), strict=True):
            assert torch.equal(one, other)
    other_seed = PatchSampler(store, patch=16, seed=2)
    assert not torch.equal(first.draw(0, 4)[0], other_seed.draw(0, 4)[0])
    assert not torch.equal(first.draw(0, 4)[0], first.draw(1, 4)[0])


def test_processes_share_one_batch(store_x2: Path) -> None:
    sampler = PatchSampler(Store(store_x2), patch=16, seed=1)
    whole, _ = sampler.draw(3, 6)
    parts = [sampler.draw(3, 6, rank=rank, of=2)[0] for rank in range(2)]
    assert torch.equal(whole[0::2], parts[0])
    assert torch.equal(whole[1::2], parts[1])


@pytest.mark.parametrize(("weighting", "share"), [("games", 0.5), ("frames", 0.1)])
def test_weights_of_games(tmp_path: Path, weighting: str, share: float) -> None:
    rare = position_pair(TWO, name="rare", game="rare")
    rare.low[:] = 255
    common = [position_pair(TWO, name=f"common{index}", game="common") for index in range(9)]
    sampler = PatchSampler(make(tmp_path, [rare, *common]), patch=2, seed=1, weighting=weighting)
    low, _ = sampler.draw(0, 2000)
    measured = (low.amin((1, 2, 3)) == 255).float().mean().item()
    assert measured == pytest.approx(share, abs=0.04)


def test_the_mapped_file_itself_is_gathered_from(store_x2: Path) -> None:
    store = Store(store_x2)
    sampler = PatchSampler(store, patch=16, seed=1)
    assert sampler._pixels.data_ptr() == store.pixels.ctypes.data


def test_refuses_a_patch_larger_than_a_frame(store_x2: Path) -> None:
    with pytest.raises(BadImageError, match="smaller than the training patch of 80"):
        PatchSampler(Store(store_x2), patch=80, seed=1)


def test_refuses_a_patch_that_cannot_be_scaled(tmp_path: Path) -> None:
    scale = Fraction(3, 2)
    store = make(tmp_path, [position_pair(scale)], scale)
    with pytest.raises(BadRequestError, match="multiple of 2, not 5"):
        PatchSampler(store, patch=5, seed=1)


def test_refuses_an_empty_split(tmp_path: Path) -> None:
    store = make(tmp_path, [position_pair(TWO)])
    with pytest.raises(BadImageError, match="no pair of split 'test'; it has train"):
        PatchSampler(store, split="test", patch=2, seed=1)
