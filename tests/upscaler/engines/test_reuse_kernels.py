from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscaler.engines.reuse_kernels import WORDS, cover, spread, take_changed

SIDE = 8


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [(40, 48), (37, 42)])
def test_marks_the_blocks_that_changed_and_takes_them(
    word: type[np.unsignedinteger], channels: int, size: tuple[int, int]
) -> None:
    height, width = size
    random = np.random.default_rng(1)
    old = random.integers(0, 256, (height, width * channels), np.uint8)
    item = np.dtype(word).itemsize
    if width * channels % item or SIDE * channels % item:
        pytest.skip("rows are no whole words")
    grid = (-(-height // SIDE), -(-width // SIDE))
    places = [(0, 0), (height - 1, width - 1), (7, 8), (8, 7), (20, width - 1)]
    for y, x in places:
        new, kept = old.copy(), old.copy()
        new[y, x * channels + channels - 1] ^= 1
        changed = np.full(grid, 9, np.uint8)
        new.flags.writeable = False
        marked = take_changed(
            new.view(word), kept.view(word), changed, SIDE * channels // item, SIDE, 1
        )
        assert marked == 1
        assert np.argwhere(changed).tolist() == [[y // SIDE, x // SIDE]]
        assert np.array_equal(kept, new)


def test_looks_at_some_rows_only() -> None:
    old = np.zeros((32, 32), np.uint8)
    new = np.ones((32, 32), np.uint8)
    changed = np.zeros((4, 4), np.uint8)
    assert take_changed(new, old, changed, SIDE, SIDE, SIDE) == 16
    assert np.array_equal(np.flatnonzero(old.any(axis=1)), [0, 8, 16, 24])
    assert take_changed(new, old, changed, SIDE, SIDE, SIDE) == 0


@pytest.mark.parametrize("blocks", [1, 2])
def test_spreads_in_all_directions(blocks: int) -> None:
    changed = np.zeros((7, 9), np.uint8)
    changed[0, 0] = changed[3, 5] = 1
    dirty = np.full_like(changed, 7)
    spread(changed, dirty, blocks)
    expected = np.zeros_like(changed)
    expected[: blocks + 1, : blocks + 1] = 1
    expected[3 - blocks : 4 + blocks, 5 - blocks : 6 + blocks] = 1
    assert np.array_equal(dirty, expected)


@given(
    size=st.tuples(st.integers(40, 150), st.integers(40, 150)),
    window=st.tuples(st.integers(24, 80), st.integers(24, 80)),
    halo=st.integers(0, 8),
    dirty=st.sets(st.tuples(st.integers(0, 18), st.integers(0, 18)), max_size=60),
)
def test_every_dirty_block_is_taken_once_from_where_a_window_is_right(
    size: tuple[int, int], window: tuple[int, int], halo: int, dirty: set[tuple[int, int]]
) -> None:
    (height, width), tall, wide = size, min(window[0], size[0]), min(window[1], size[1])
    grid = np.zeros((-(-height // SIDE), -(-width // SIDE)), np.uint8)
    for y, x in dirty:
        if y < grid.shape[0] and x < grid.shape[1]:
            grid[y, x] = 1
    places = np.full((grid.size, 6), -1, np.intp)
    count = cover(grid, SIDE, halo, tall, wide, height, width, places)
    taken = np.zeros((height, width), np.uint8)
    for y, x, top, left, bottom, right in places[:count].tolist():
        assert 0 <= y <= height - tall
        assert 0 <= x <= width - wide
        assert top - y >= halo or y == 0
        assert left - x >= halo or x == 0
        assert y + tall - bottom >= halo or y + tall == height
        assert x + wide - right >= halo or x + wide == width
        assert top < bottom <= y + tall
        assert left < right <= x + wide
        taken[top:bottom, left:right] += 1
    wanted = grid.repeat(SIDE, 0).repeat(SIDE, 1)[:height, :width]
    assert (taken[wanted == 1] == 1).all()
    assert taken.max(initial=0) <= 1
    assert count == 0 or grid.any()
