from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from trainer.contact import (
    CAPTION_HEIGHT,
    CELL_HEIGHT,
    CELL_WIDTH,
    GAP,
    MOST,
    PAPER,
    PER_GROUP,
    ContactSheet,
)
from trainer.store import FramePair
from upscaler.contract import Frame

SCALES = [Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4)]
ROW = CAPTION_HEIGHT + CELL_HEIGHT + GAP
COLUMN = 2 * CELL_WIDTH + GAP // 2 + GAP


def make_pair(
    scale: Fraction = SCALES[1],
    *,
    blocks: tuple[int, int] = (60, 80),
    name: str = "game/frame",
    game: str = "game",
    scene: str = "scene",
    split: str = "train",
) -> FramePair:
    """One colour for each block of `scale`, so that both frames look the same when enlarged."""
    colours = np.random.default_rng(1).integers(0, 256, (*blocks, 3), np.uint8)
    low, high = (
        colours.repeat(side, axis=0).repeat(side, axis=1)
        for side in (scale.denominator, scale.numerator)
    )
    return FramePair(
        name=name, game=game, scene=scene, licence="x", split=split, low=low, high=high
    )


def sheet(*pairs: FramePair, scale: Fraction = SCALES[1]) -> Frame:
    contact = ContactSheet(scale)
    for pair in pairs:
        contact.show(pair)
    return contact.draw()


def halves(drawn: Frame) -> tuple[Frame, Frame]:
    """What lies below the first caption: the low frame and the high one."""
    top, left = GAP + CAPTION_HEIGHT, GAP
    right = left + COLUMN - GAP - CELL_WIDTH
    rows = slice(top, top + CELL_HEIGHT)
    return drawn[rows, left : left + CELL_WIDTH], drawn[rows, right : right + CELL_WIDTH]


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_the_same_detail_at_the_same_size(scale: Fraction) -> None:
    drawn = sheet(make_pair(scale, blocks=(200, 200)), scale=scale)
    assert drawn.shape == (ROW + GAP, COLUMN + GAP, 3)
    low, high = halves(drawn)
    assert np.array_equal(low, high)
    assert (low != PAPER).any(axis=2).mean() > 0.97  # the picture fills its place


def test_pixels_are_enlarged_without_a_filter() -> None:
    pair = make_pair()
    low, high = halves(sheet(pair))
    assert {tuple(colour) for colour in low[: 60 * 4, : 80 * 4].reshape(-1, 3)} <= {
        tuple(colour) for colour in pair.low.reshape(-1, 3)
    }
    assert np.array_equal(high[::2, ::2][:120, :160], pair.high)


def test_the_liveliest_detail_is_shown() -> None:
    pair = make_pair(blocks=(300, 400))
    quiet = pair.low[200:260, 300:380].copy()
    for frame in (pair.low, pair.high):
        frame[:] = 128
    pair.low[200:260, 300:380] = quiet
    low, high = halves(sheet(pair))
    assert low.std() > 40
    assert (high[: 60 * 4] == 128).all()


def test_frames_smaller_than_their_place_leave_paper() -> None:
    low, high = halves(sheet(make_pair(blocks=(5, 7))))
    assert (low[5 * 4 :] == PAPER).all()
    assert (high[:, 7 * 4 :] == PAPER).all()


def test_two_columns_of_pairs_from_different_scenes() -> None:
    pairs = [make_pair(scene=scene) for scene in ("a", "a", "b", "c", "d")]
    assert len(pairs) - 2 == PER_GROUP
    drawn = sheet(*pairs)
    assert drawn.shape == (2 * ROW + GAP, 2 * COLUMN + GAP, 3)
    assert (drawn[ROW + GAP :, COLUMN + GAP :] == PAPER).all()  # three pairs: a place is empty


def test_every_split_and_game_is_shown_but_not_without_end() -> None:
    pairs = [make_pair(scene=scene, split=split) for scene in "abcd" for split in ("train", "test")]
    assert sheet(*pairs).shape[0] == 3 * ROW + GAP
    many = [make_pair(game=str(index), scene="a") for index in range(MOST + 5)]
    assert sheet(*many).shape[0] == MOST // 2 * ROW + GAP


@pytest.mark.parametrize("length", [200, 5000])
def test_a_long_name_stays_in_its_half(length: int) -> None:
    drawn = sheet(make_pair(name="x" * length))
    caption = drawn[GAP : GAP + CAPTION_HEIGHT, GAP : GAP + COLUMN - GAP]
    written = np.flatnonzero((caption != PAPER).any(axis=(0, 2)))
    gap = slice(CELL_WIDTH - 2, COLUMN - GAP - CELL_WIDTH + 1)
    assert (caption[:, gap] == PAPER).all()
    assert written.min() < 10
    assert written.max() > CELL_WIDTH  # the size of the high frame
    assert not np.array_equal(drawn, sheet(make_pair(name="x" * length, split="test")))


def test_the_end_of_a_long_name_is_what_stays() -> None:
    one, other = (sheet(make_pair(name=start + 99 * "long")) for start in ("a", "b"))
    assert np.array_equal(one, other)
    one, other = (sheet(make_pair(name=99 * "long" + end)) for end in ("/1", "/2"))
    assert not np.array_equal(one, other)


def test_names_in_other_scripts_do_not_matter() -> None:
    assert sheet(make_pair(name="море/1")).shape == sheet(make_pair()).shape


def test_a_sheet_needs_a_pair() -> None:
    with pytest.raises(ValueError, match="needs a pair"):
        ContactSheet(SCALES[0]).draw()
