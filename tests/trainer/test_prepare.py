from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from protocol.errors import BadImageError
from trainer.degrade import DEGRADATIONS, Degradation, degrade
from trainer.prepare import CONTACT, Report, prepare
from trainer.sources import Source
from trainer.store import Store
from upscaler.contract import Frame
from upscaler.images import read_image, write_image

TWO, ONE_AND_A_HALF = Fraction(2), Fraction(3, 2)
Pictures = tuple[Frame, Frame]
Write = Callable[..., Source]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write both frames of a pair, RGB; return where they are."""

    def write_pair(
        name: str, pictures: Pictures, *, suffix: str = ".png", split: str = "train"
    ) -> Source:
        scene = name.partition("/")[0]
        paths = []
        for role, picture in zip(("low", "high"), pictures, strict=True):
            path = tmp_path / role / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, picture[:, :, ::-1])
            paths.append(path)
        return Source(
            name=f"game/{name}",
            game="game",
            scene=scene,
            licence="CC0-1.0",
            split=split,
            low=paths[0],
            high=paths[1],
        )

    return write_pair


def run(sources: list[Source], out: Path, scale: Fraction = TWO) -> Report:
    return prepare(sources, out, scale=scale, degradation=None)


def test_pairs_that_pass_are_in_the_store(
    write: Write, cuts: list[Pictures], tmp_path: Path
) -> None:
    sources = [
        write("a/1", cuts[0]),
        write("a/2", cuts[1]),
        write("b/1", cuts[2], split="test"),
        write("c/1", cuts[3], split="validation"),
    ]
    done: list[None] = []
    report = prepare(
        sources,
        tmp_path / "store",
        scale=TWO,
        degradation=None,
        advance=lambda: done.append(None),
    )
    assert len(done) == 4
    assert (report.dropped, report.noted, report.warnings, report.cropped) == ([], [], [], 0)
    assert len(report.shifts_px) == 4
    assert max(report.shifts_px) < 0.1
    groups = [(group.game, group.split, group.scenes, group.pairs) for group in report.groups]
    assert groups == [("game", "train", 1, 2), ("game", "validation", 1, 1), ("game", "test", 1, 1)]
    assert report.groups[0].megapixels == pytest.approx(2 * 320 * 240 / 1e6)
    store = Store(tmp_path / "store")
    assert store.index.degradation == "native"
    (stored,) = store.pairs("test")
    assert (stored.name, stored.scene, stored.licence) == ("game/b/1", "b", "CC0-1.0")
    assert np.array_equal(stored.low, cuts[2][0])
    assert np.array_equal(stored.high, cuts[2][1])
    assert read_image(tmp_path / "store" / CONTACT).shape[2] == 3


def test_what_is_wrong_is_dropped_and_told(
    write: Write, cuts: list[Pictures], tmp_path: Path
) -> None:
    low, high = cuts[4]
    black = np.zeros_like(low), np.zeros_like(high)
    counted = high.copy()
    counted[:4, :4] = 255 - counted[:4, :4]
    sources = [
        write("a/1", cuts[0]),
        write("a/2", black),
        write("a/3", (np.roll(low, 2, axis=1), high)),
        write("a/4", (low, cuts[5][1])),
        write("a/5", (degrade(high, TWO, "bicubic"), high)),
        write("a/6", (np.zeros_like(low), high)),
        write("a/7", cuts[4]),
        write("a/8", (low, counted)),
        write("a/9", cuts[0]),
        write("b/1", cuts[0]),  # as its other scene began
    ]
    report = run(sources, tmp_path / "store")
    reasons = {remark.name[5:]: remark.reason for remark in report.dropped}
    for name, reason in {
        "a/2": "is black: 100.0 %",
        "a/3": "is misaligned by (-",
        "a/4": "shows two different instants",
        "a/5": "is no pair of renders",
        "a/6": "is black",
        "a/8": "is frozen: 99.98 % of its pixels repeat the frame before",
    }.items():
        assert reasons.pop(name).startswith(reason)
    assert reasons == {}
    store = Store(tmp_path / "store")
    assert store.index.dropped == report.dropped
    kept = [each.name[5:] for each in store.pairs("train")]
    assert kept == ["a/1", "a/7", "a/9", "b/1"]
    assert report.groups[0].pairs == 4


def test_what_cannot_be_measured_stays_with_a_note(
    write: Write, cuts: list[Pictures], tmp_path: Path
) -> None:
    def sky(width: int, height: int, seed: int) -> Frame:
        noise = np.random.default_rng(seed).normal(0, 0.8, (height, width, 3))
        return np.rint(np.linspace(60, 200, width)[None, :, None] + noise).astype(np.uint8)

    sources = [write("a/1", cuts[0]), write("a/2", (sky(160, 120, 0), sky(320, 240, 9)))]
    report = run(sources, tmp_path / "store")
    assert [each.name for each in report.noted] == ["game/a/2"]
    assert Store(tmp_path / "store").index.noted == report.noted
    assert len(report.shifts_px) == 1
    assert report.groups[0].pairs == 2


def test_resizes_that_were_compressed_are_suspected(
    write: Write, cuts: list[Pictures], tmp_path: Path
) -> None:
    def compressed(high: Frame) -> Frame:
        low = degrade(high, TWO, "bicubic")
        _, encoded = cv2.imencode(".jpg", low, [cv2.IMWRITE_JPEG_QUALITY, 95])
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR)

    sources = [
        write(f"a/{index}", (compressed(high), high)) for index, (_, high) in enumerate(cuts[:5])
    ]
    report = run(sources, tmp_path / "store")
    assert report.groups[0].pairs >= 1  # that single pairs do not give away
    assert report.warnings[1].startswith("game: the low-resolution frames look like resizes of")


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_low_frames_are_made(
    write: Write, cuts: list[Pictures], tmp_path: Path, kind: Degradation
) -> None:
    high = cuts[4][1][:, :319]
    sources = [replace(write("a/1", (high, high)), low=None)]
    report = prepare(sources, tmp_path / "store", scale=ONE_AND_A_HALF, degradation=kind)
    assert report.cropped == 1
    assert report.shifts_px == []
    store = Store(tmp_path / "store")
    assert store.index.degradation == kind
    (pair,) = store.pairs("train")
    assert np.array_equal(pair.high, high[:, :318])
    assert np.array_equal(pair.low, degrade(high, ONE_AND_A_HALF, kind))


def test_missing_splits_are_told(write: Write, cuts: list[Pictures], tmp_path: Path) -> None:
    report = run([write("a/1", cuts[0])], tmp_path / "one")
    assert report.warnings[0].startswith("nothing is held out for validation or test: ")
    report = run([write("a/1", cuts[0]), write("b/1", cuts[1], split="test")], tmp_path / "two")
    assert report.warnings[0].startswith("nothing is held out for validation: ")


def test_nothing_to_train_on_is_an_error(
    write: Write, cuts: list[Pictures], tmp_path: Path
) -> None:
    flat = np.full((24, 32, 3), 90, np.uint8), np.full((48, 64, 3), 90, np.uint8)
    sources = [write("a/1", flat), write("b/1", cuts[0], split="test")]
    reason = r"nothing is left to train on in .*; pairs dropped: 1, the first: game/a/1 is of one"
    with pytest.raises(BadImageError, match=reason):
        run(sources, tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("scale", [TWO, ONE_AND_A_HALF], ids=str)
def test_a_mistake_in_the_data_ends_the_run_and_leaves_nothing(
    write: Write, cuts: list[Pictures], tmp_path: Path, scale: Fraction
) -> None:
    sources = [write(f"a/{index}", cuts[index]) for index in range(6)]
    if scale == TWO:
        assert sources[3].low is not None
        sources[3].low.unlink()
        sources = sources[1:]
    with pytest.raises(BadImageError, match=r"3\.png: No such" if scale == TWO else r"0\.png is "):
        run(sources, tmp_path / "store", scale)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["high", "low"]


def test_an_interrupt_leaves_nothing_and_no_thread(
    write: Write, cuts: list[Pictures], tmp_path: Path
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    sources = [write(f"a/{index}", cuts[index]) for index in range(6)]
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        prepare(sources, tmp_path / "store", scale=TWO, degradation=None, advance=interrupt)
    assert threading.active_count() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["high", "low"]


def test_a_frame_too_small_to_degrade_is_named(write: Write, tmp_path: Path) -> None:
    tiny = np.zeros((2, 2, 3), np.uint8)
    sources = [replace(write("a/1", (tiny, tiny)), low=None)]
    with pytest.raises(BadImageError, match=r"high/a/1\.png: a frame of 2x2 is too small for 3x"):
        prepare(sources, tmp_path / "store", scale=Fraction(3), degradation="area")
