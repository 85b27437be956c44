"""Qualcomm's SGSR1 as compiled loops over rows, after `sgsr1_shader_mobile.frag`.

Operation mode 1 (RGBA: green decides, red and blue get the same change), edge direction on, edge
threshold 8/255, edge sharpness 2. A one-pass filter: twelve taps of green, weighed by a window that
is stretched along the edge, correct what a bilinear sample shows.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from upscaler.filters.easu_kernels import MARGIN
from upscaler.filters.rcas_kernels import store_row
from upscaler.filters.shader import ONE, TWO, ZERO, f, larger, level, smaller

EDGE_THRESHOLD = f(8 / 255)
EDGE_SHARPNESS = f(2)
LARGEST_CHANGE = f(23 / 255)
UNIT = f(1 / 255)
"""A level in 0..1, as llvmpipe has it; it is not quite level / 255."""


@njit(inline="always")
def _window(x):
    """Polynomial in place of Lanczos 2, of the squared distance (fastLanczos2)."""
    a = x - f(4)
    return (x * a - a) * (a * a)


@njit(inline="always")
def _weight(dx, dy, change, deviation, along_x, along_y):
    """Weight of a tap at offset (dx, dy) whose green differs from the mean by `change`."""
    across = dx * along_y + dy * along_x
    stretch = smaller(larger((change * change) * deviation, ZERO), ONE) * f(0.7) + f(-1)
    return _window((dx * dx + dy * dy) + (across * across) * stretch)


@njit(inline="always")
def _lerp(a, b, steps):
    """From level `a` to level `b` in 256 steps, rounded to a level; half a level goes up."""
    return a + np.floor((steps * (b - a) + f(128)) * f(1 / 256))


@njit(inline="always")
def _bilinear(a, b, c, d, right, down):
    return _lerp(_lerp(a, b, right), _lerp(c, d, right), down) * UNIT


# Declared read-only, since a caller's frame may be; writable arrays pass too.
@njit(
    "void(Array(uint8, 2, 'C', readonly=True), float32[:, :, ::1], intp, intp)",
    nogil=True,
    cache=True,
)
def spread_rows(src, planes, start, stop):
    """Spread rows `start` to `stop` of the padded input, edges repeated, into planes.

    `src` is (rows, values); `planes` (padded rows, 4, padded columns): the three colours as levels,
    and green in 0..1.
    """
    height = src.shape[0]
    width = planes.shape[2] - 2 * MARGIN
    wide = src.shape[1] == 4 * width
    for y in range(start, stop):
        row = src[min(max(y - MARGIN, 0), height - 1)]
        first, green, last, unit = planes[y, 0], planes[y, 1], planes[y, 2], planes[y, 3]
        if wide:
            for x in range(width):
                first[x + MARGIN] = f(row[4 * x])
                green[x + MARGIN] = f(row[4 * x + 1])
                last[x + MARGIN] = f(row[4 * x + 2])
        else:
            for x in range(width):
                first[x + MARGIN] = f(row[3 * x])
                green[x + MARGIN] = f(row[3 * x + 1])
                last[x + MARGIN] = f(row[3 * x + 2])
        for x in range(width):
            unit[x + MARGIN] = green[x + MARGIN] * UNIT
        for plane in range(4):
            values = planes[y, plane]
            for x in range(MARGIN):
                values[x] = values[MARGIN]
                values[width + MARGIN + x] = values[width + MARGIN - 1]


@njit(inline="always")
def _pass(above, here, after, below, fractions, steps, py, down, out0, out1, out2):
    """One output pixel for each input position of a row, as levels.

    The rows of input planes are (4, padded columns) and begin at position -2. `steps` and `down`
    are the position in 256 steps.
    """
    green_above, green_here, green_after, green_below = above[3], here[3], after[3], below[3]
    ub, uc = green_above[1:], green_above[2:]
    lw, lz, rw, rz = green_here, green_here[1:], green_here[2:], green_here[3:]
    lx, ly, rx, ry = green_after, green_after[1:], green_after[2:], green_after[3:]
    dn, do = green_below[1:], green_below[2:]
    a0, b0, c0, d0 = here[0][1:], here[0][2:], after[0][1:], after[0][2:]
    a1, b1, c1, d1 = here[1][1:], here[1][2:], after[1][1:], after[1][2:]
    a2, b2, c2, d2 = here[2][1:], here[2][2:], after[2][1:], after[2][2:]
    for x in range(fractions.size):
        px = fractions[x]
        right = steps[x]
        green = _bilinear(a1[x], b1[x], c1[x], d1[x], right, down)
        vote = (abs(lz[x] - ly[x]) + abs(green - ly[x])) + abs(green - lz[x])
        mean = ((ly[x] + lz[x]) + (rx[x] + rw[x])) * f(0.25)
        l_x, l_y, l_z, l_w = lx[x] - mean, ly[x] - mean, lz[x] - mean, lw[x] - mean
        r_x, r_y, r_z, r_w = rx[x] - mean, ry[x] - mean, rz[x] - mean, rw[x] - mean
        u_x, u_y, u_z, u_w = ub[x] - mean, uc[x] - mean, do[x] - mean, dn[x] - mean
        total = (
            (((abs(l_x) + abs(l_y)) + abs(l_z)) + abs(l_w))
            + (((abs(r_x) + abs(r_y)) + abs(r_z)) + abs(r_w))
        ) + (((abs(u_x) + abs(u_y)) + abs(u_z)) + abs(u_w))
        deviation = f(10.14185) / total
        deviation = deviation * deviation
        falling, rising = r_x - l_z, r_w - l_y
        along_x, along_y = falling + rising, falling - rising
        length = ONE / np.sqrt((along_x * along_x + f(3.075740e-05)) + along_y * along_y)
        along_x, along_y = along_x * length, along_y * length
        w0 = _weight(px, py + ONE, u_x, deviation, along_x, along_y)
        w1 = _weight(px - ONE, py + ONE, u_y, deviation, along_x, along_y)
        w2 = _weight(px - ONE, py - TWO, u_z, deviation, along_x, along_y)
        w3 = _weight(px, py - TWO, u_w, deviation, along_x, along_y)
        w4 = _weight(px + ONE, py - ONE, l_x, deviation, along_x, along_y)
        w5 = _weight(px, py - ONE, l_y, deviation, along_x, along_y)
        w6 = _weight(px, py, l_z, deviation, along_x, along_y)
        w7 = _weight(px + ONE, py, l_w, deviation, along_x, along_y)
        w8 = _weight(px - ONE, py - ONE, r_x, deviation, along_x, along_y)
        w9 = _weight(px - TWO, py - ONE, r_y, deviation, along_x, along_y)
        w10 = _weight(px - TWO, py, r_z, deviation, along_x, along_y)
        w11 = _weight(px - ONE, py, r_w, deviation, along_x, along_y)
        weights = w0 + w1 + w2 + w3 + w4 + w5 + w6 + w7 + w8 + w9 + w10 + w11
        weighed = (
            w0 * u_x + w1 * u_y + w2 * u_z + w3 * u_w + w4 * l_x + w5 * l_y
            + w6 * l_z + w7 * l_w + w8 * r_x + w9 * r_y + w10 * r_z + w11 * r_w
        )  # fmt: skip
        most = larger(larger(l_y, l_z), larger(r_x, r_w))
        least = smaller(smaller(l_y, l_z), smaller(r_x, r_w))
        wanted = smaller(larger(EDGE_SHARPNESS * (weighed / weights), least), most)
        change = wanted - (green - mean)
        change = smaller(larger(change, -LARGEST_CHANGE), LARGEST_CHANGE)
        # In a flat place the division above is 0 / 0, and its result is not used.
        change = change if vote > EDGE_THRESHOLD else ZERO
        first = _bilinear(a0[x], b0[x], c0[x], d0[x], right, down) + change
        last = _bilinear(a2[x], b2[x], c2[x], d2[x], right, down) + change
        out0[x] = level(smaller(larger(first, ZERO), ONE))
        out1[x] = level(smaller(larger(green + change, ZERO), ONE))
        out2[x] = level(smaller(larger(last, ZERO), ONE))


@njit(
    "void(float32[:, :, ::1], float32[:, ::1], float32[:, ::1], intp[::1], intp[::1],"
    " float32[::1], float32[::1], float32[:, :, ::1], float32[:, ::1], uint8[:, ::1], intp, intp)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def sgsr1_rows(
    planes, passes, steps, order, rows, fractions, row_steps, scratch, levels, dst, start, stop
):
    """Upscale output rows `start` to `stop`; `scratch` is (3, passes, positions)."""
    for y in range(start, stop):
        top = rows[y] + MARGIN
        for turn in range(passes.shape[0]):
            _pass(
                planes[top - 1], planes[top], planes[top + 1], planes[top + 2],
                passes[turn], steps[turn], fractions[y], row_steps[y],
                scratch[0][turn], scratch[1][turn], scratch[2][turn],
            )  # fmt: skip
        for colour in range(3):
            plane, row = scratch[colour].reshape(passes.size), levels[colour]
            for x in range(order.size):
                row[x] = plane[order[x]]
        store_row(levels, dst[y])
