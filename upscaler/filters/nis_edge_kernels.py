"""The part of NVScaler that follows edges, after `NIS_Scaler.h` (its names in brackets).

Where there is an edge, luma is estimated along it: by six taps on a line across the edge, between
pixels where need be, scaled and sharpened in one.

Two things decide whether LLVM vectorises. The filter banks are constants of the program, since
loads from an array that might overlap the output could not be gathered. And where a loop does not
begin at 0, the index is unsigned, since Numba lets a negative one count from the end.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from upscaler.filters.nis_tables import PHASES, SCALE, SHARPEN
from upscaler.filters.shader import HALF, ONE, TWO, ZERO, f, larger, smaller

LUMA = 3
"""The plane after the three colours."""
DIRECTIONS = 4
"""Edges at 0, 90, 45 and 135 degrees, in the shader's order."""
BLOCK = 32
"""Positions; an axis is filled up to whole blocks. In a busy frame, half of them are skipped."""

SCALE_BY_TAP = np.ascontiguousarray(SCALE.T)
SHARPEN_BY_TAP = np.ascontiguousarray(SHARPEN.T)

DETECT_RATIO = f(2 * 1127 / 1024)
DETECT_THRESHOLD = f(64 / 1024)
SHARP_START = f(0.45)
SHARP_SCALE = ONE / (f(0.9) - f(0.45))
LEAST_CONTRAST = TWO
CONTRAST_SCALE = ONE / (f(10) - LEAST_CONTRAST)
EPSILON = ONE / f(255)
COUNT = f(PHASES)
BEYOND_MIDDLE = f(PHASES // 2 + 1)


@njit(inline="always")
def mix(a, b, t):
    """Interpolate as Mesa, the shader's compiler, does."""
    return a + t * (b - a)


@njit(inline="always")
def saturate(a):
    """Clamp to 0..1."""
    return smaller(larger(a, ZERO), ONE)


@njit(inline="always")
def detect(above, here, below, edges):
    """How much of an edge along each direction there is at each pixel (GetEdgeMap).

    The rows of luma begin one pixel before `edges`, (4, columns).
    """
    at_0, at_90, at_45, at_135 = edges[0], edges[1], edges[2], edges[3]
    for x in range(at_0.size):
        a, b, c = above[x], above[x + 1], above[x + 2]
        d, e = here[x], here[x + 2]
        g, h, i = below[x], below[x + 1], below[x + 2]
        g_0 = abs(a + b + c - g - h - i)
        g_45 = abs(d + a + b - h - i - e)
        g_90 = abs(a + d + g - c - e - i)
        g_135 = abs(d + g + h - b - c - e)
        straight, straight_least = larger(g_0, g_90), smaller(g_0, g_90)
        slanted, slanted_least = larger(g_45, g_135), smaller(g_45, g_135)
        is_straight = (
            (straight > straight_least * DETECT_RATIO)
            & (straight > DETECT_THRESHOLD)
            & (straight > slanted_least)
        )
        is_slanted = (
            (slanted > slanted_least * DETECT_RATIO)
            & (slanted > DETECT_THRESHOLD)
            & (slanted > straight_least)
        )
        both = is_straight & is_slanted
        # In a flat place this is 0 / 0, and not used.
        share = smaller(straight / (straight + slanted), ONE)
        straight_share = (share if both else ONE) if is_straight else ZERO
        slanted_share = (ONE - share if both else ONE) if is_slanted else ZERO
        at_0[x] = straight_share if straight == g_0 else ZERO
        at_90[x] = ZERO if straight == g_0 else straight_share
        at_45[x] = slanted_share if slanted == g_45 else ZERO
        at_135[x] = ZERO if slanted == g_45 else slanted_share


@njit(inline="always")
def _contrast(p0, p1, p2, p3, p4, p5, early):
    """Factor of the sharpening, less where one side has the contrast only (CalcLTI)."""
    third = p0 if early else p3
    left = larger(larger(p1, p2), third) - smaller(smaller(p1, p2), third)
    third = p2 if early else p5
    right = larger(larger(p3, p4), third) - smaller(smaller(p3, p4), third)
    ratio = larger(left, right) / (smaller(left, right) + EPSILON)
    return ONE - saturate((ratio - LEAST_CONTRAST) * CONTRAST_SCALE)


@njit(inline="always")
def _along(p0, p1, p2, p3, p4, p5, s, u, early, strength):
    """Scale and sharpen six taps along a line, with weights `s` and `u` (EvalPoly6)."""
    value = s[0] * p0 + s[1] * p1 + s[2] * p2 + s[3] * p3 + s[4] * p4 + s[5] * p5
    mask = u[0] * p0 + u[1] * p1 + u[2] * p2 + u[3] * p3 + u[4] * p4 + u[5] * p5
    least, more, limit_least, limit_more = strength
    dark = ONE - saturate((value - SHARP_START) * SHARP_SCALE)
    mask = mask * (dark * more + least)
    limit = (dark * limit_more + limit_least) * value
    mask = smaller(limit, larger(-limit, mask))
    return value + mask * _contrast(p0, p1, p2, p3, p4, p5, early)


@njit(inline="always")
def phase(fraction):
    """Which of the 64 sets of weights is for this fraction of a position."""
    return np.intp(fraction * COUNT)


@njit(inline="always")
def _early(fraction):
    """Whether the phase is in the first half, its middle included."""
    return fraction * COUNT < BEYOND_MIDDLE


@njit(inline="always")
def weights_of(table, k):
    """Six weights of phase `k`."""
    return table[0, k], table[1, k], table[2, k], table[3, k], table[4, k], table[5, k]


@njit(inline="always")
def six(plane):
    """First six rows."""
    return plane[0], plane[1], plane[2], plane[3], plane[4], plane[5]


@njit(inline="always")
def _block(index):
    """Positions of a block."""
    return range(np.uintp(index * BLOCK), np.uintp(index * BLOCK + BLOCK))


@njit(inline="always")
def weigh(above, below, py, weights, active):
    """Blend the edges of two rows, and note the blocks that have some (GetInterpEdgeMap)."""
    for block in range(active.size):
        bits = np.int32(0)
        for x in _block(block):
            weight = mix(above[x], below[x], py)
            weights[x] = weight
            bits = np.int32(bits | f(weight).view(np.int32))
        active[block] = bits != 0


@njit(inline="always")
def add_0(p, py, strength, weights, active, out):
    """Add the estimate across edges at 0 degrees; `p` are six rows, at the columns' fractions."""
    p0, p1, p2, p3, p4, p5 = p
    s, u = weights_of(SCALE_BY_TAP, phase(py)), weights_of(SHARPEN_BY_TAP, phase(py))
    early = _early(py)
    for block in range(active.size):
        if active[block]:
            for x in _block(block):
                value = _along(p0[x], p1[x], p2[x], p3[x], p4[x], p5[x], s, u, early, strength)
                out[x] += value * weights[x]


@njit(inline="always")
def add_90(row, banks, fractions, strength, weights, active, out):
    """Add the estimate across edges at 90 degrees; `row` is at the row's fraction."""
    p0, p1, p2, p3, p4, p5 = row, row[1:], row[2:], row[3:], row[4:], row[5:]
    s0, s1, s2, s3, s4, s5 = six(banks[0])
    u0, u1, u2, u3, u4, u5 = six(banks[1])
    for block in range(active.size):
        if active[block]:
            for x in _block(block):
                s = s0[x], s1[x], s2[x], s3[x], s4[x], s5[x]
                u = u0[x], u1[x], u2[x], u3[x], u4[x], u5[x]
                early = _early(fractions[x])
                value = _along(p0[x], p1[x], p2[x], p3[x], p4[x], p5[x], s, u, early, strength)
                out[x] += value * weights[x]


@njit(inline="always")
def _slant(px, py, mirrored):
    """Where an output pixel lies on a slanted line: across it, 0..1, and along it, 0..2."""
    if mirrored:
        return HALF * (px + py), ONE + (px - py)
    return HALF + HALF * (px - py), px + py


@njit(inline="always")
def _diagonal(planes, row, step, column):
    """Three taps, each a row (of `step`) and a column after the last."""
    return (
        planes[row, LUMA, column:],
        planes[row + step, LUMA, column + 1 :],
        planes[row + 2 * step, LUMA, column + 2 :],
    )


@njit(inline="always")
def add_slanted(planes, first, step, px, py, strength, weights, active, out):
    """Add the estimate across slanted edges, where all columns have the fraction `px`.

    At 45 degrees, `first` is the first of the rows of taps and `step` 1; at 135 degrees, the last
    and -1. The taps lie on two lines, which alternate: one through pixels, one between them.
    """
    across, along = _slant(px, py, step < 0)
    beyond = along >= ONE
    along = along - ONE if beyond else along
    s, u = weights_of(SCALE_BY_TAP, phase(along)), weights_of(SHARPEN_BY_TAP, phase(along))
    early = _early(along)
    offset = across - HALF
    turn = 1 if offset >= ZERO else -1
    # Of the line that comes first, and of the other: a tap's row and column on one side of the
    # position, those on its other side, and how far the position is from the one to the other.
    on = 2 if beyond else 1
    row_a, column_a, row_b, column_b, t = on, on, on - turn, on + turn, abs(offset)
    row_c, column_c, row_d, column_d, v = 2, 1, 1, 2, across
    if beyond:
        row_a, column_a, row_b, column_b, t = 2, 1, 1, 2, across
        row_c, column_c, row_d, column_d, v = on, on, on - turn, on + turn, abs(offset)
    a0, a1, a2 = _diagonal(planes, first + step * row_a, step, column_a)
    b0, b1, b2 = _diagonal(planes, first + step * row_b, step, column_b)
    c0, c1, c2 = _diagonal(planes, first + step * row_c, step, column_c)
    d0, d1, d2 = _diagonal(planes, first + step * row_d, step, column_d)
    for block in range(active.size):
        if active[block]:
            for x in _block(block):
                value = _along(
                    mix(a0[x], b0[x], t), mix(c0[x], d0[x], v),
                    mix(a1[x], b1[x], t), mix(c1[x], d1[x], v),
                    mix(a2[x], b2[x], t), mix(c2[x], d2[x], v),
                    s, u, early, strength,
                )  # fmt: skip
                out[x] += value * weights[x]


@njit(inline="always")
def add_any_slanted(planes, first, step, fractions, py, strength, weights, active, out):
    """Do as `add_slanted` where the columns' fractions differ."""
    on0, on1, on2 = _diagonal(planes, first + step, step, 1)
    over0, over1, over2 = _diagonal(planes, first, step, 2)
    under0, under1, under2 = _diagonal(planes, first + 2 * step, step, 0)
    on3 = planes[first + 4 * step, LUMA, 4:]
    over3, under3 = planes[first + 3 * step, LUMA, 5:], planes[first + 5 * step, LUMA, 3:]
    a0, a1, a2 = _diagonal(planes, first + 2 * step, step, 1)
    b0, b1, b2 = _diagonal(planes, first + step, step, 2)
    for block in range(active.size):
        if active[block]:
            for x in _block(block):
                across, along = _slant(fractions[x], py, step < 0)
                offset = across - HALF
                over = offset >= ZERO
                offset = abs(offset)
                t0 = mix(on0[x], over0[x] if over else under0[x], offset)
                t1 = mix(a0[x], b0[x], across)
                t2 = mix(on1[x], over1[x] if over else under1[x], offset)
                t3 = mix(a1[x], b1[x], across)
                t4 = mix(on2[x], over2[x] if over else under2[x], offset)
                t5 = mix(a2[x], b2[x], across)
                t6 = mix(on3[x], over3[x] if over else under3[x], offset)
                beyond = along >= ONE
                along = along - ONE if beyond else along
                k = phase(along)
                value = _along(
                    t1 if beyond else t0, t2 if beyond else t1, t3 if beyond else t2,
                    t4 if beyond else t3, t5 if beyond else t4, t6 if beyond else t5,
                    weights_of(SCALE_BY_TAP, k), weights_of(SHARPEN_BY_TAP, k), _early(along),
                    strength,
                )  # fmt: skip
                out[x] += value * weights[x]
