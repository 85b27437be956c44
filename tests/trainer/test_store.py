from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadImageError, BadRequestError
from trainer.store import FORMAT, FramePair, Remark, Store, StoreWriter

TWO, ONE_AND_A_HALF = Fraction(2), Fraction(3, 2)


def make_pair(
    name: str = "game/1",
    *,
    scale: Fraction = TWO,
    blocks: tuple[int, int] = (3, 5),
    split: str = "train",
) -> FramePair:
    random = np.random.default_rng(len(name))
    low, high = (
        random.integers(0, 256, (side * blocks[0], side * blocks[1], 3), np.uint8)
        for side in (scale.denominator, scale.numerator)
    )
    return FramePair(
        name=name, game="game", scene="s", licence="CC0-1.0", split=split, low=low, high=high
    )


def write(root: Path, *pairs: FramePair, scale: Fraction = TWO) -> Path:
    with StoreWriter(root, scale=scale, degradation="native") as store:
        for pair in pairs:
            store.add(pair)
    return root


def assert_equal(read: FramePair, written: FramePair) -> None:
    for name in ("name", "game", "scene", "licence", "split"):
        assert getattr(read, name) == getattr(written, name)
    assert np.array_equal(read.low, written.low)
    assert np.array_equal(read.high, written.high)


@pytest.mark.parametrize("scale", [TWO, ONE_AND_A_HALF, Fraction(3), Fraction(4)], ids=str)
def test_what_is_written_is_read(tmp_path: Path, scale: Fraction) -> None:
    written = [make_pair(name, scale=scale, blocks=(3, len(name))) for name in ("ccc", "a", "bb")]
    store = Store(write(tmp_path / "store", *written, scale=scale))
    assert store.scale == scale
    assert store.index.degradation == "native"
    read = store.pairs("train")
    assert (
        [each.name for each in read]
        == ["a", "bb", "ccc"]
        == [e.name for e in store.entries("train")]
    )
    for each, other in zip(read, sorted(written, key=lambda pair: pair.name), strict=True):
        assert_equal(each, other)
    assert sorted(path.name for path in store.root.iterdir()) == ["pixels.u8", "store.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_frames_that_are_views_are_written_whole(tmp_path: Path) -> None:
    whole = make_pair(blocks=(6, 8))
    turned = replace(whole, low=whole.low[::-1, ::2], high=whole.high[:, ::-2, ::-1])
    (read,) = Store(write(tmp_path / "store", turned)).pairs("train")
    assert_equal(read, turned)


def test_pixels_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    root = write(tmp_path / "store", make_pair())
    store = Store(root)
    (pair,) = store.pairs("train")
    assert np.shares_memory(pair.low, store.pixels)
    assert np.shares_memory(pair.high, store.pixels)
    assert store.pixels.shape == (3 * 5 * (1 + 4), 3)
    with pytest.raises(ValueError, match="read-only"):
        pair.low[0] = 0
    before = (root / "pixels.u8").read_bytes()
    store.pixels[:] = 7  # the copy of this process alone
    assert (root / "pixels.u8").read_bytes() == before


def test_splits_are_apart(tmp_path: Path) -> None:
    root = write(tmp_path / "store", make_pair("a"), make_pair("b", split="test"))
    store = Store(root)
    assert [each.name for each in store.pairs("test")] == ["b"]
    assert store.entries("validation") == []
    with pytest.raises(BadImageError, match="no pair of split 'validation'; it has test, train"):
        store.pairs("validation")


def test_remarks_are_kept(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", scale=TWO, degradation="area") as store:
        store.add(make_pair("a"))
        store.drop("b", "is black")
        store.note("a", "is flat")
    index = Store(tmp_path / "store").index
    assert index.degradation == "area"
    assert index.dropped == [Remark(name="b", reason="is black")]
    assert index.noted == [Remark(name="a", reason="is flat")]


def test_fingerprints_tell_stores_apart(tmp_path: Path) -> None:
    names = [["a"], ["a"], ["b"], ["a", "b"]]
    prints = [
        Store(write(tmp_path / str(index), *map(make_pair, each))).fingerprint
        for index, each in enumerate(names)
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in prints)


def test_sides_of_another_ratio_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="game/1 is 5x3 and 10x6, not at 3x"),
        StoreWriter(tmp_path / "store", scale=Fraction(3), degradation="native") as store,
    ):
        store.add(make_pair())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_is_raised_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with StoreWriter(tmp_path / "not" / "there" / "s", scale=TWO, degradation="area") as store:
            store.add(make_pair())
            assert store.draft.is_dir()
            raise error

    with pytest.raises(error):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_folders_above_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Store(write(tmp_path / "not" / "there" / "store", make_pair())).entries("train")
    monkeypatch.chdir(tmp_path)
    assert Store(write(Path("relative"), make_pair())).entries("train")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["not", "relative"]


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    draft = tmp_path / f".store.{os.getpid()}.draft"
    draft.mkdir()
    (draft / "pixels.u8").write_bytes(b"old")
    write(tmp_path / "store", make_pair())
    assert not draft.exists()
    assert Store(tmp_path / "store").pixels.size == 3 * 5 * (1 + 4) * 3


def test_an_existing_store_stays(tmp_path: Path) -> None:
    root = write(tmp_path / "store", make_pair())
    before = (root / "store.json").read_bytes()
    with pytest.raises(BadRequestError, match="store exists; name another folder or remove it"):
        write(root, make_pair("other"))
    assert (root / "store.json").read_bytes() == before


def test_of_two_writers_the_one_that_ends_first_wins(tmp_path: Path) -> None:
    root = tmp_path / "store"
    slow = StoreWriter(root, scale=TWO, degradation="native").__enter__()
    slow.draft = slow.draft.rename(tmp_path / "of another process")
    write(root, make_pair("fast"))
    with pytest.raises(BadRequestError, match=r"cannot write .*store: Directory not empty"):
        slow.__exit__(None, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert Store(root).entries("train")[0].name == "fast"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadRequestError, match=r"cannot write .*file/store: Not a directory"):
        write(tmp_path / "file" / "store", make_pair())


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from trainer.store import FramePair, StoreWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
images = {"low": np.zeros((100, 100, 3), np.uint8), "high": np.zeros((200, 200, 3), np.uint8)}
words = dict.fromkeys(("name", "game", "scene", "licence", "split"), "word")
with StoreWriter(Path(sys.argv[1]), scale=2, degradation="area") as store:
    for _ in range(10):
        store.add(FramePair(**words, **images))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.parametrize(("limit", "held"), [(1000, ""), (1_000_000, " after 1 MB")])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, limit: int, held: str) -> None:
    root = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(root), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.splitlines()[-1]
    assert said == f"protocol.errors.BadRequestError: cannot write {root}: File too large{held}"
    assert list(tmp_path.iterdir()) == []


def damaged(root: Path, **changes: object) -> Path:
    path = write(root / "store", make_pair()) / "store.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    pair = index["pairs"][0]
    for name, value in changes.items():
        (pair["low"] if name in pair["low"] else index)[name] = value
    path.write_text(json.dumps(index), encoding="utf-8")
    return path.parent


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": FORMAT + 1}, r"store\.json has format 2, not 1; run prepare again"),
        ({"scale": "7"}, r"is damaged \(unsupported scale 7"),
        ({"scale": "3"}, r"is damaged \(game/1 is 5x3 and 10x6, not at 3x"),
        ({"pairs": [{"name": "x"}]}, r"is damaged \(Object missing required field `game`"),
        ({"offset": -1}, r"is damaged \(Expected `int` >= 0"),
        ({"height": 0}, r"is damaged \(Expected `int` >= 1"),
        ({"offset": 61}, r"pixels\.u8 is cut short: 225 of 228 bytes"),
    ],
    ids=str,
)
def test_a_damaged_index_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadImageError, match=message):
        Store(damaged(tmp_path, **changes))


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=r"is no prepared store .*upscaler-train prepare"):
        Store(tmp_path)
    root = write(tmp_path / "store", make_pair())
    (root / "pixels.u8").unlink()
    with pytest.raises(BadImageError, match=r"cannot map .*pixels\.u8.*run upscaler-train prepare"):
        Store(root)
    (root / "store.json").write_text("{")
    with pytest.raises(BadImageError, match=r"store\.json is damaged \(Input data was truncated"):
        Store(root)
