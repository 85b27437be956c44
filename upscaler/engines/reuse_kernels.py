"""Finds what changed between two frames, and covers it with windows, as compiled loops.

A frame is seen as a grid of blocks, `side` pixels wide and high; the last ones may be cut off.
"""

from __future__ import annotations

import numpy as np
from numba import njit

WORDS = (np.uint64, np.uint32, np.uint16, np.uint8)
ROWS = [
    f"intp(Array(uint{bits}, 2, 'C', readonly=True), uint{bits}[:, ::1], uint8[:, ::1], intp, intp,"
    " intp)"
    for bits in (64, 32, 16, 8)
]


@njit(ROWS, nogil=True, cache=True)
def take_changed(src, kept, changed, words, side, step):
    """Bring `kept` up to `src` and mark the blocks that differed; returns how many were marked.

    `src` and `kept` are rows of words, `words` to a block; `changed` (block rows, block columns).
    Of each block every `step`-th pixel row is looked at. A word that is taken from `src` is in a
    marked block, whoever writes to `src` meanwhile.
    """
    marked = 0
    length = src.shape[1]
    for block_row in range(changed.shape[0]):
        flags = changed[block_row]
        flags[:] = 0
        for y in range(block_row * side, min((block_row + 1) * side, src.shape[0]), step):
            new, old = src[y], kept[y]
            # Most rows are equal, and this loop is vectorised.
            difference = new[0] ^ old[0]
            for x in range(1, length):
                difference |= new[x] ^ old[x]
            if difference == 0:
                continue
            for block in range(flags.size):
                first, last = block * words, min((block + 1) * words, length)
                difference = new[first] ^ old[first]
                for x in range(first + 1, last):
                    difference |= new[x] ^ old[x]
                if difference != 0:
                    flags[block] = 1
                    for x in range(first, last):
                        old[x] = new[x]
        for block in range(flags.size):
            marked += flags[block]
    return marked


@njit("void(uint8[:, ::1], uint8[:, ::1], intp)", nogil=True, cache=True)
def spread(changed, dirty, blocks):
    """Mark in `dirty` every block that is at most `blocks` away from one in `changed`."""
    rows, columns = changed.shape
    dirty[:] = 0
    for y in range(rows):
        for x in range(columns):
            if changed[y, x]:
                for row in range(max(y - blocks, 0), min(y + blocks + 1, rows)):
                    for column in range(max(x - blocks, 0), min(x + blocks + 1, columns)):
                        dirty[row, column] = 1


@njit(inline="always")
def _covered(position, side, halo, window, length):
    """Where a window begins whose results are right from block `position` on, and where they end.

    In pixels, and in blocks beyond the last whole one that is right. A window that reaches the
    frame's border is right up to there, others up to `halo` pixels from their own.
    """
    origin = max(min(position * side - halo, length - window), 0)
    blocks = -(-length // side)
    end = blocks if origin + window >= length else (origin + window - halo) // side
    return origin, end


@njit(
    "intp(uint8[:, ::1], intp, intp, intp, intp, intp, intp, intp[:, ::1])", nogil=True, cache=True
)
def cover(dirty, side, halo, window_height, window_width, height, width, places):
    """Cover the blocks of `dirty` with windows, row by row; returns how many it takes.

    Fills `places` (at least as many, 6) with the window's top and left, and the top, left, bottom
    and right of what is taken from it, in pixels of the input. A window is no larger than the
    frame, and holds a block and a halo on both sides of it.
    """
    count = 0
    rows, columns = dirty.shape
    row = 0
    while row < rows:
        if not dirty[row].any():
            row += 1
            continue
        top, row_end = _covered(row, side, halo, window_height, height)
        column = 0
        while column < columns:
            wanted = False
            for y in range(row, row_end):
                if dirty[y, column]:
                    wanted = True
            if not wanted:
                column += 1
                continue
            left, column_end = _covered(column, side, halo, window_width, width)
            place = places[count]
            place[0], place[1] = top, left
            place[2], place[3] = row * side, column * side
            place[4], place[5] = min(row_end * side, height), min(column_end * side, width)
            count += 1
            column = column_end
        row = row_end
    return count
