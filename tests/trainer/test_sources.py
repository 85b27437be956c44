from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from protocol.errors import BadImageError, BadRequestError
from trainer.sources import deal_scenes, folder_sources, manifest_sources

TWO = Fraction(2)


def manifest(root: Path, scenes: dict[str, str], *, frames: int = 2) -> Path:
    """Frames of each "game/scene", which is of a split, as a manifest; it needs no files."""
    entries = [
        {"file": f"{scene}/{frame}_{role}.webp", "pair": f"{scene}/{frame}", "role": role}
        | {"game": scene.split("/")[0], "scene": scene.split("/")[1], "split": split}
        | {"licence": "CC0-1.0"}
        for scene, split in scenes.items()
        for frame in range(frames)
        for role in ("hr", "x2")
    ]
    (root / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
    return root


def pictures(root: Path, *names: str) -> Path:
    """Empty files: what lies in them is read later."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def splits(sources: list) -> dict[str, str]:
    return {f"{each.game}/{each.scene}": each.split for each in sources}


TEN = {f"one/{index}": "train" for index in range(10)}


def test_pairs_of_a_manifest(tmp_path: Path) -> None:
    root = manifest(tmp_path, {"b/x": "train", "a/y": "test", "a/seq": "sequence"})
    sources = manifest_sources(root, scale=TWO, degraded=False)
    assert [each.name for each in sources] == ["a/y/0", "a/y/1", "b/x/0", "b/x/1"]
    first = sources[0]
    assert (first.game, first.scene, first.split, first.licence) == ("a", "y", "test", "CC0-1.0")
    assert first.high == tmp_path / "a/y/0_hr.webp"
    assert first.low == tmp_path / "a/y/0_x2.webp"


def test_a_degradation_needs_high_frames_alone(tmp_path: Path) -> None:
    root = manifest(tmp_path, {"b/x": "train"})
    sources = manifest_sources(root, scale=Fraction(3), degraded=True)
    assert [each.low for each in sources] == [None, None]
    with pytest.raises(BadImageError, match=r"no pair at 3x of split 'train'; --degradation makes"):
        manifest_sources(root, scale=Fraction(3), degraded=False)


def test_whole_training_scenes_are_held_out(tmp_path: Path) -> None:
    root = manifest(tmp_path, {**TEN, "one/tested": "test"}, frames=3)
    sources = manifest_sources(root, scale=TWO, degraded=False, validation=0.3)
    assert Counter(each.split for each in sources) == {"train": 21, "validation": 9, "test": 3}
    assert Counter(splits(sources).values()) == {"train": 7, "validation": 3, "test": 1}
    tenth = manifest_sources(root, scale=TWO, degraded=False)
    assert Counter(splits(tenth).values()) == {"train": 9, "validation": 1, "test": 1}


@pytest.mark.parametrize("names", [["3", "one/7"], ["one/3", "3", "7"]])
def test_named_scenes_are_held_out(tmp_path: Path, names: list[str]) -> None:
    root = manifest(tmp_path, {**TEN, "one/tested": "test"})
    found = splits(manifest_sources(root, scale=TWO, degraded=False, hold_out=names))
    assert [scene for scene, split in found.items() if split == "validation"] == ["one/3", "one/7"]
    assert found["one/tested"] == "test"


@pytest.mark.parametrize("name", ["tested", "two/3", ""])
def test_a_scene_that_is_not_trained_on_cannot_be_held_out(tmp_path: Path, name: str) -> None:
    root = manifest(tmp_path, {**TEN, "one/tested": "test"})
    said = f"no scene '{name}' to train on; choose from one/0, one/1, .*, one/7 and 2 more$"
    with pytest.raises(BadRequestError, match=said):
        manifest_sources(root, scale=TWO, degraded=False, hold_out=[name])


def test_a_scene_of_two_games_needs_the_game(tmp_path: Path) -> None:
    root = manifest(tmp_path, {"one/x": "train", "two/x": "train"})
    with pytest.raises(BadRequestError, match="'x' is of several games; choose from one/x, two/x"):
        manifest_sources(root, scale=TWO, degraded=False, hold_out=["x"])
    found = splits(manifest_sources(root, scale=TWO, degraded=False, hold_out=["two/x"]))
    assert found == {"one/x": "train", "two/x": "validation"}


def test_one_scene_is_left_to_train_on(tmp_path: Path) -> None:
    root = manifest(tmp_path, {"a/x": "train", "a/y": "train", "a/z": "test"})
    with pytest.raises(BadRequestError, match="all 2 scenes are held out; leave one to train on"):
        manifest_sources(root, scale=TWO, degraded=False, hold_out=["x", "y"])


def test_a_validation_split_of_the_manifest_stays(tmp_path: Path) -> None:
    root = manifest(tmp_path, {**TEN, "one/held": "validation"})
    found = splits(manifest_sources(root, scale=TWO, degraded=False))
    assert [scene for scene, split in found.items() if split == "validation"] == ["one/held"]
    for asked in ({"validation": 0.2}, {"hold_out": ["3"]}):
        with pytest.raises(BadRequestError, match="has a validation split of its own"):
            manifest_sources(root, scale=TWO, degraded=False, **asked)


def test_a_manifest_without_training_is_refused(tmp_path: Path) -> None:
    root = manifest(tmp_path, {"a/y": "test"})
    with pytest.raises(BadImageError, match=r"manifest\.json has no high-resolution frame of"):
        manifest_sources(root, scale=TWO, degraded=True)


def test_folders_are_scenes_and_frames_are_in_order(tmp_path: Path) -> None:
    names = ["b/9.png", "b/10.png", "a/x/1.png", "loose.jpg", ".hidden/1.png", "b/notes.txt"]
    low = pictures(tmp_path / "low", *names)
    high = pictures(tmp_path / "high", *(name.replace("loose.jpg", "loose.WEBP") for name in names))
    sources = folder_sources(high, low=low, game="g", licence="mine", validation=0, test=0)
    assert [each.name for each in sources] == ["g/a/x/1", "g/b/9", "g/b/10", "g/loose"]
    assert [each.scene for each in sources] == ["a/x", "b", "b", "high"]
    assert sources[3].high == high / "loose.WEBP"
    assert sources[3].low == low / "loose.jpg"
    assert {each.split for each in sources} == {"train"}


def test_every_photograph_may_be_a_scene(tmp_path: Path) -> None:
    high = pictures(tmp_path, *(f"{index}.jpg" for index in range(20)))
    sources = folder_sources(high, low=None, game="g", licence="x", scene_per_file=True)
    assert len({each.scene for each in sources}) == 20
    assert Counter(each.split for each in sources) == {"train": 16, "validation": 2, "test": 2}


def test_named_scenes_of_folders_are_held_out_beside_test_scenes(tmp_path: Path) -> None:
    high = pictures(tmp_path, *(f"{index}/1.png" for index in range(20)))
    sources = folder_sources(high, low=None, game="g", licence="x", hold_out=["4", "g/11"])
    found = splits(sources)
    assert {scene for scene, split in found.items() if split == "validation"} == {"g/4", "g/11"}
    assert Counter(found.values()) == {"train": 16, "validation": 2, "test": 2}


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (["a.png"], ["a.png", "b.png"], r"high/b\.png has no partner b\.\* in .*low$"),
        (["a.png", "b.png"], ["a.png"], r"low/b\.png has no partner b\.\* in .*high$"),
        (["a.png"], ["a.png", "a.jpg"], r"a\.png and a\.jpg differ by their type alone"),
        (["a.txt"], ["a.png"], r"low has no image \(\.png, "),
        ([], ["a.png"], "low is no folder; name the folder of the frames"),
    ],
)
def test_folders_that_are_no_pairs_are_named(
    tmp_path: Path, low: list[str], high: list[str], message: str
) -> None:
    pictures(tmp_path / "low", *low)
    pictures(tmp_path / "high", *high)
    with pytest.raises(BadImageError, match=message):
        folder_sources(tmp_path / "high", low=tmp_path / "low", game="g", licence="x")


def test_scenes_are_dealt_alike_everywhere() -> None:
    scenes = [("game", str(index)) for index in range(10)]
    dealt = deal_scenes(reversed(scenes), validation=0.2, test=0.1)
    held_out = {scene: split for (_, scene), split in dealt.items() if split != "train"}
    assert held_out == {"0": "test", "1": "validation", "8": "validation"}
    more = deal_scenes([*scenes, ("other", "6"), ("other", "4")], validation=0.2, test=0.1)
    assert {key: more[key] for key in dealt} == dealt


@pytest.mark.parametrize(
    ("scenes", "expected"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "test": 1, "validation": 1}),
        (30, {"train": 24, "test": 3, "validation": 3}),
    ],
)
def test_every_game_is_trained_on(scenes: int, expected: dict[str, int]) -> None:
    dealt = deal_scenes((("g", str(index)) for index in range(scenes)), validation=0.1, test=0.1)
    assert Counter(dealt.values()) == expected
    assert set(deal_scenes(dealt, validation=0, test=0).values()) == {"train"}
