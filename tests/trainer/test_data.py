from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from protocol.errors import BadImageError, BadRequestError
from trainer.data import LoadedPair, PatchSampler, load_split, read_rgb
from upscaler.images import write_image
from upscaler.pairs import Pair

TWO = Fraction(2)


def sampler(pairs: list[LoadedPair], *, scale: Fraction, patch: int, seed: int = 1) -> PatchSampler:
    generator = torch.Generator().manual_seed(seed)
    return PatchSampler(pairs, scale=scale, patch=patch, generator=generator)


def position_pair(scale: Fraction, *, game: str = "one") -> LoadedPair:
    """Each pixel holds the row and column of the block of `scale` that it belongs to."""
    block, cells = scale.denominator, 10

    def picture(side: int) -> torch.Tensor:
        index = torch.arange(cells).repeat_interleave(side).to(torch.uint8)
        row, column = torch.meshgrid(index, index, indexing="ij")
        return torch.stack([row, column, torch.zeros_like(row)])

    nowhere = Path("none")
    pair = Pair(name="a", game=game, scene="s", licence="CC0-1.0", low=nowhere, high=nowhere)
    return LoadedPair(pair=pair, low=picture(block), high=picture(scale.numerator))


@pytest.mark.parametrize(("scale", "width"), [(TWO, 96), (Fraction(3, 2), 128)])
def test_loads_the_pairs_of_a_split(frames: Path, scale: Fraction, width: int) -> None:
    train = load_split(frames, split="train", scale=scale)
    test = load_split(frames, split="test", scale=scale)
    assert (len(train), len(test)) == (6, 3)
    assert not {each.pair.name for each in train} & {each.pair.name for each in test}
    assert train[0].low.dtype == torch.uint8
    assert train[0].low.shape == (3, width * 3 // 4, width)
    assert train[0].high.shape == (3, 144, 192)


def test_colours_are_rgb(tmp_path: Path) -> None:
    blue_first = np.zeros((4, 5, 3), np.uint8)
    blue_first[..., 0] = 200
    write_image(tmp_path / "blue.png", blue_first)
    read = read_rgb(tmp_path / "blue.png")
    assert read.shape == (4, 5, 3)
    assert read[0, 0].tolist() == [0, 0, 200]
    assert read.flags.c_contiguous


def test_a_pair_of_the_wrong_size_is_named(frames: Path, tmp_path: Path) -> None:
    root = tmp_path / "frames"
    shutil.copytree(frames, root)
    write_image(root / "00_hr.png", np.zeros((140, 192, 3), np.uint8))
    with pytest.raises(BadImageError, match=r"00_hr.png is 192x140, but 2 times .* is 192x144"):
        load_split(root, split="train", scale=TWO)


@pytest.mark.parametrize("scale", [TWO, Fraction(3, 2)])
def test_crops_are_aligned_and_turned_alike(scale: Fraction) -> None:
    draw = sampler([position_pair(scale)], scale=scale, patch=4 * scale.denominator)
    low, high = draw.draw(64)
    one_of_each = low[:, :, :: scale.denominator, :: scale.denominator]
    assert torch.equal(one_of_each, high[:, :, :: scale.numerator, :: scale.numerator])
    assert low.dtype == high.dtype == torch.float32
    corners = {tuple((255 * each[:2, 0, 0]).int().tolist()) for each in low}
    assert len(corners) > 20  # crops come from everywhere


def test_a_seed_reproduces_the_batches(frames: Path) -> None:
    pairs = load_split(frames, split="train", scale=TWO)
    first, second = (sampler(pairs, scale=TWO, patch=16) for _ in range(2))
    for _ in range(3):
        for one, other in zip(first.draw(4), second.draw(4), strict=True):
            assert torch.equal(one, other)
    other_seed = sampler(pairs, scale=TWO, patch=16, seed=2)
    assert not torch.equal(first.draw(4)[0], other_seed.draw(4)[0])


def test_games_weigh_the_same_however_many_frames_they_have() -> None:
    rare, common = position_pair(TWO, game="rare"), position_pair(TWO, game="common")
    rare.low.fill_(255)
    low, _ = sampler([rare, *[common] * 9], scale=TWO, patch=2).draw(1000)
    share = (low.amin((1, 2, 3)) == 1).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.06)


def test_refuses_a_patch_larger_than_a_frame(frames: Path) -> None:
    with pytest.raises(BadImageError, match="smaller than the training patch of 80"):
        sampler(load_split(frames, split="train", scale=TWO), scale=TWO, patch=80)


def test_refuses_a_patch_that_cannot_be_scaled() -> None:
    scale = Fraction(3, 2)
    with pytest.raises(BadRequestError, match="multiple of 2, not 5"):
        sampler([position_pair(scale)], scale=scale, patch=5)
