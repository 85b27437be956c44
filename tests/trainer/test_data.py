from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadImageError
from trainer.data import load_pair, load_pairs, read_rgb
from upscaler.images import write_image
from upscaler.pairs import Pair

TWO, ONE_AND_A_HALF = Fraction(2), Fraction(3, 2)


def write_noise(path: Path, width: int, height: int) -> Path:
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    write_image(path, image)
    return path


def pair_of(low: Path, high: Path) -> Pair:
    return Pair(name="a/1", game="a", scene="s", licence="CC0-1.0", low=low, high=high)


@pytest.mark.parametrize(("scale", "width"), [(TWO, 96), (ONE_AND_A_HALF, 128)])
def test_loads_a_split_of_a_manifest(frames: Path, scale: Fraction, width: int) -> None:
    train = load_pairs(frames, split="train", scale=scale)
    test = load_pairs(frames, split="test", scale=scale)
    assert (len(train), len(test)) == (6, 3)
    assert not {each.name for each in train} & {each.name for each in test}
    assert [each.name for each in train] == sorted(each.name for each in train)
    first = train[0]
    assert (first.name, first.game, first.scene) == ("boards/01", "boards", "01")
    assert (first.licence, first.split) == ("CC0-1.0", "train")
    assert first.low.shape == (width * 3 // 4, width, 3)
    assert first.high.shape == (144, 192, 3)


def test_a_store_gives_what_its_manifest_gave(frames: Path, store_x2: Path) -> None:
    for stored, read in zip(
        load_pairs(store_x2, split="test", scale=TWO),
        load_pairs(frames, split="test", scale=TWO),
        strict=True,
    ):
        assert stored.name == read.name
        assert np.array_equal(stored.low, read.low)
        assert np.array_equal(stored.high, read.high)


def test_a_store_has_one_scale(store_x2: Path) -> None:
    with pytest.raises(BadImageError, match="was prepared for 2x, not for 3/2x; prepare another"):
        load_pairs(store_x2, split="train", scale=ONE_AND_A_HALF)


def test_a_standard_set_has_no_splits(tmp_path: Path) -> None:
    for name in ("woman", "baby_SRF_2"):
        write_noise(tmp_path / f"{name}_LR.png", 8, 6)
        write_noise(tmp_path / f"{name}_HR.png", 16, 12)
    pairs = load_pairs(tmp_path, split="test", scale=TWO)
    assert [each.name for each in pairs] == ["baby_SRF_2", "woman"]
    assert {each.game for each in pairs} == {tmp_path.name}
    assert {each.split for each in pairs} == {"test"}


def test_a_standard_set_with_half_a_pair_is_named(tmp_path: Path) -> None:
    write_noise(tmp_path / "baby_HR.png", 16, 12)
    with pytest.raises(BadImageError, match=r"baby_HR\.png has no .* partner baby_LR\.png"):
        load_pairs(tmp_path, split="test", scale=TWO)


def test_a_folder_without_pairs_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=r"manifest\.json: .*needs a manifest of its pairs"):
        load_pairs(tmp_path, split="test", scale=TWO)


def test_a_pair_of_the_wrong_size_is_named(frames: Path, tmp_path: Path) -> None:
    root = tmp_path / "frames"
    shutil.copytree(frames, root)
    write_image(root / "00_hr.png", np.zeros((140, 192, 3), np.uint8))
    with pytest.raises(BadImageError, match=r"00_hr.png is 192x140, but 2 times .* is 192x144"):
        load_pairs(root, split="train", scale=TWO)


def test_odd_sides_at_1_5x_are_named(tmp_path: Path) -> None:
    low, high = write_noise(tmp_path / "low.png", 9, 6), write_noise(tmp_path / "high.png", 13, 9)
    with pytest.raises(BadImageError, match=r"low\.png: a scale of 1.5 needs even sides, not 9x6"):
        load_pair(pair_of(low, high), scale=ONE_AND_A_HALF, split="train")


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    low, high = write_noise(tmp_path / "low.png", 8, 6), write_noise(tmp_path / "high.png", 16, 12)
    with pytest.raises(BadImageError, match=r"absent\.png: No such file"):
        load_pair(pair_of(low, tmp_path / "absent.png"), scale=TWO, split="train")
    high.write_bytes(high.read_bytes()[:-40])
    with pytest.raises(BadImageError, match=r"high\.png is cut short"):
        load_pair(pair_of(low, high), scale=TWO, split="train")


def test_colours_are_rgb(tmp_path: Path) -> None:
    blue_first = np.zeros((4, 5, 3), np.uint8)
    blue_first[..., 0] = 200
    write_image(tmp_path / "blue.png", blue_first)
    read = read_rgb(tmp_path / "blue.png")
    assert read.shape == (4, 5, 3)
    assert read[0, 0].tolist() == [0, 0, 200]
    assert read.flags.c_contiguous


def test_alpha_is_dropped(tmp_path: Path) -> None:
    write_image(tmp_path / "glass.png", np.full((4, 5, 4), (10, 20, 30, 40), np.uint8))
    assert read_rgb(tmp_path / "glass.png")[0, 0].tolist() == [30, 20, 10]
