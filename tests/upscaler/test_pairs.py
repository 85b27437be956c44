from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from protocol.errors import BadImageError
from upscaler.pairs import find_pairs


def entry(pair: str, role: str, split: str = "test") -> dict[str, object]:
    return {
        "file": f"{pair}_{role}.webp",
        "game": "kart",
        "scene": "mines",
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
