from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from protocol.errors import BadImageError
from upscaler.pairs import find_pairs, low_role, read_manifest


def entry(
    pair: str, role: str, split: str = "test", *, scene: str = "", file: str = ""
) -> dict[str, object]:
    return {
        "file": file or f"{pair}_{role}.webp",
        "game": "kart",
        "scene": scene or f"mines, {split}",
        "pair": pair,
        "role": role,
        "split": split,
        "licence": "CC0",
        "width": 4,
    }


def write(folder: Path, entries: object) -> Path:
    (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


def test_pairs_are_complete_ordered_and_of_one_split(tmp_path: Path) -> None:
    entries = [
        entry("b", "hr"),
        entry("b", "x2"),
        entry("a", "x2"),
        entry("a", "hr"),
        entry("a", "x1.5"),
        entry("alone", "hr"),
        entry("other", "hr", "train"),
        entry("other", "x2", "train"),
    ]
    root = write(tmp_path, entries)
    pairs = find_pairs(root, split="test", scale=Fraction(2))
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert pairs[0].low == tmp_path / "a_x2.webp"
    assert len(find_pairs(root, split="test", scale=Fraction(3, 2))) == 1


@pytest.mark.parametrize("content", [{}, [], [{"file": "a"}], [entry("a", "x2")]])
def test_a_manifest_without_pairs_is_named(tmp_path: Path, content: object) -> None:
    with pytest.raises(BadImageError, match=r"manifest\.json"):
        find_pairs(write(tmp_path, content), split="test", scale=Fraction(2))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="the folder needs a manifest"):
        find_pairs(tmp_path, split="test", scale=Fraction(2))


def test_what_a_manifest_says_of_a_file(tmp_path: Path) -> None:
    (first, second) = read_manifest(write(tmp_path, [entry("a", "hr"), entry("a", "x2")]))
    assert (first.file, first.game, first.scene) == ("a_hr.webp", "kart", "mines, test")
    assert (first.pair, first.role, first.split, first.licence) == ("a", "hr", "test", "CC0")
    assert second.role == low_role(Fraction(2)) == "x2"
    assert low_role(Fraction(3, 2)) == "x1.5"
    (pair,) = find_pairs(tmp_path, split="test", scale=Fraction(2))
    assert (pair.scene, pair.licence) == ("mines, test", "CC0")


def test_a_scene_belongs_to_one_split(tmp_path: Path) -> None:
    entries = [entry("a", "hr", scene="mines"), entry("b", "hr", "train", scene="mines")]
    with pytest.raises(BadImageError, match="'mines' of kart in the splits 'test' and 'train'"):
        read_manifest(write(tmp_path, entries))
    entries[1]["game"] = "arena"  # whose scene of that name is another
    assert len(read_manifest(write(tmp_path, entries))) == 2


def test_a_pair_has_one_file_of_a_role(tmp_path: Path) -> None:
    same = [entry("a", "hr"), entry("a", "hr")]
    assert len(read_manifest(write(tmp_path, same))) == 2
    other = [entry("a", "hr"), entry("a", "hr", file="other.webp")]
    with pytest.raises(BadImageError, match=r"pair 'a' two hr files, a_hr\.webp, other\.webp"):
        read_manifest(write(tmp_path, other))


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b'[{"file": "\xff')
    with pytest.raises(BadImageError, match=r"manifest\.json is no manifest of pairs"):
        read_manifest(tmp_path)
