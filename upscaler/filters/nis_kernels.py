"""NVIDIA's NVScaler as compiled loops over rows, after `NIS_Scaler.h` (its names in brackets).

Of the luma of a pixel's 6x6 neighbours, NVScaler blends up to five estimates: a filter of 6x6 taps,
and along each of four directions, where there is an edge, one of six taps that sharpens as well.
The colours are sampled bilinearly and all change by what the luma does.

How it is made fast without leaving the shader's arithmetic:

- What depends on an input pixel alone (luma, edges) is computed once for each, and so is what lies
  between two input pixels of a row, for each fraction: an output row only blends such rows.
- Rows are computed in passes over input positions (see `positions`), so that every load is
  contiguous and the arithmetic runs on eight or sixteen pixels at a time.
- Positions are taken in blocks, and a direction skips the blocks that have no edge along it.
"""

from __future__ import annotations

from numba import njit

from upscaler.filters.nis_edge_kernels import (
    DIRECTIONS,
    LUMA,
    SCALE_BY_TAP,
    add_0,
    add_90,
    add_any_slanted,
    add_slanted,
    detect,
    mix,
    phase,
    saturate,
    six,
    weigh,
    weights_of,
)
from upscaler.filters.nis_tables import TAPS
from upscaler.filters.rcas_kernels import store_row
from upscaler.filters.shader import ONE, ZERO, f, level, unit

MARGIN = 3
"""Pixels around the input: the taps reach from -2 to +3 around positions from -1."""


@njit(inline="always")
def _luma(red, green, blue):
    """BT.709's weights, on values that are not linear (getY)."""
    return f(0.2126) * red + f(0.7152) * green + f(0.0722) * blue


# Declared read-only, since a caller's frame may be; writable arrays pass too.
@njit(
    "void(Array(uint8, 2, 'C', readonly=True), intp, boolean, boolean, boolean,"
    " float32[:, :, ::1], intp, intp)",
    nogil=True,
    cache=True,
)
def spread_rows(src, width, blue_first, wrap_rows, wrap_columns, planes, start, stop):
    """Spread rows `start` to `stop` of the padded input, edges repeated, into planes in 0..1.

    `src` is (rows, values); `planes` (padded rows, 4, columns): colours and luma. When upscaling,
    the shader adds -1 to an unsigned number, and takes the last row of the picture for the rows two
    and three above it (`wrap_rows`), the last column for those left of it (`wrap_columns`).
    """
    height = src.shape[0]
    wide = src.shape[1] == 4 * width
    end = MARGIN + width
    for y in range(start, stop):
        wrapped = wrap_rows and y < MARGIN - 1
        row = src[height - 1 if wrapped else min(max(y - MARGIN, 0), height - 1)]
        first, green, last = planes[y, 0], planes[y, 1], planes[y, 2]
        if wide:
            for x in range(width):
                first[x + MARGIN] = unit(f(row[4 * x]))
                green[x + MARGIN] = unit(f(row[4 * x + 1]))
                last[x + MARGIN] = unit(f(row[4 * x + 2]))
        else:
            for x in range(width):
                first[x + MARGIN] = unit(f(row[3 * x]))
                green[x + MARGIN] = unit(f(row[3 * x + 1]))
                last[x + MARGIN] = unit(f(row[3 * x + 2]))
        red, blue = (last, first) if blue_first else (first, last)
        out = planes[y, LUMA]
        for x in range(MARGIN, end):
            out[x] = _luma(red[x], green[x], blue[x])
        for plane in range(LUMA + 1):
            out = planes[y, plane]
            for x in range(MARGIN):
                out[x] = out[end - 1 if wrap_columns and x < MARGIN - 1 else MARGIN]
                out[end + x] = out[end - 1]


@njit(inline="always")
def _between(source, fractions, out):
    """Interpolate between each value and the next."""
    for x in range(out.size):
        out[x] = mix(source[x], source[x + 1], fractions[x])


@njit(inline="always")
def _prepare(planes, row, begun, passes, edges, slopes, pairs):
    """Compute what lies between columns: of `row` its luma, of the row two before the rest.

    `slopes` is (6, passes, positions), a ring for the rows of taps; `pairs` (2, passes, 7,
    positions), for the two rows around an output row: edges, then colours.
    """
    for turn in range(passes.shape[0]):
        _between(planes[row, LUMA, MARGIN - 1 :], passes[turn], slopes[row % TAPS, turn])
    if row - 2 < begun + 2:
        return
    row -= 2
    detect(planes[row - 1, LUMA, 1:], planes[row, LUMA, 1:], planes[row + 1, LUMA, 1:], edges)
    for turn in range(passes.shape[0]):
        out = pairs[row % 2, turn]
        for plane in range(DIRECTIONS):
            _between(edges[plane], passes[turn], out[plane])
        for plane in range(LUMA):
            _between(planes[row, plane, MARGIN - 1 :], passes[turn], out[DIRECTIONS + plane])


@njit(inline="always")
def _blend_rows(planes, top, py, column, middle):
    """Blend the rows of taps into `column` (FilterNormal), the middle two into `middle`."""
    p0, p1, p2 = planes[top, LUMA], planes[top + 1, LUMA], planes[top + 2, LUMA]
    p3, p4, p5 = planes[top + 3, LUMA], planes[top + 4, LUMA], planes[top + 5, LUMA]
    s = weights_of(SCALE_BY_TAP, phase(py))
    for x in range(column.size):
        column[x] = (
            p0[x] * s[0] + p1[x] * s[1] + p2[x] * s[2] + p3[x] * s[3] + p4[x] * s[4] + p5[x] * s[5]
        )
        middle[x] = mix(p2[x], p3[x], py)


@njit(inline="always")
def _finish(column, scale, weights, directed, above, below, py, blue_first, out0, out1, out2):
    """Weigh the estimates, and give the colours that luma, as levels.

    `above` and `below` are rows of `pairs`.
    """
    p0, p1, p2, p3, p4, p5 = column, column[1:], column[2:], column[3:], column[4:], column[5:]
    s0, s1, s2, s3, s4, s5 = six(scale)
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    a0, a1, a2 = above[DIRECTIONS], above[DIRECTIONS + 1], above[DIRECTIONS + 2]
    b0, b1, b2 = below[DIRECTIONS], below[DIRECTIONS + 1], below[DIRECTIONS + 2]
    for x in range(directed.size):
        plain = (
            p0[x] * s0[x] + p1[x] * s1[x] + p2[x] * s2[x]
            + p3[x] * s3[x] + p4[x] * s4[x] + p5[x] * s5[x]
        )  # fmt: skip
        wanted = plain * (ONE - w0[x] - w1[x] - w2[x] - w3[x]) + directed[x]
        first, green, last = mix(a0[x], b0[x], py), mix(a1[x], b1[x], py), mix(a2[x], b2[x], py)
        red, blue = (last, first) if blue_first else (first, last)
        change = wanted - _luma(red, green, blue)
        out0[x] = level(saturate(first + change))
        out1[x] = level(saturate(green + change))
        out2[x] = level(saturate(last + change))


@njit(
    "void(float32[:, :, ::1], float32[:, ::1], float32[:, :, :, ::1], intp[::1], intp[::1],"
    " float32[::1], float32[::1], boolean, boolean, float32[:, ::1], float32[:, :, ::1],"
    " float32[:, :, :, ::1], float32[:, ::1], float32[:, ::1], boolean[:, ::1],"
    " float32[:, :, ::1], float32[:, ::1], uint8[:, ::1], intp, intp)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def nis_rows(
    planes, passes, banks, order, rows, fractions, strengths, steady, blue_first,
    edges, slopes, pairs, columns, weights, active, scratch, levels, dst, start, stop,
):  # fmt: skip
    """Upscale output rows `start` to `stop`.

    `passes` is (passes, positions), in whole blocks; `banks` (passes, 2, 6, positions), the weights
    that scale and sharpen in each column; `steady` says that each pass has one fraction. The rest
    is for one thread alone: `edges` (4, positions + 1), `slopes` and `pairs` as in `_prepare`,
    `columns` (2, positions + 5), `weights` (5, positions), `active` (4, blocks), `scratch` (3,
    passes, positions), `levels` (3, columns).
    """
    strength = (strengths[0], strengths[1], strengths[2], strengths[3])
    begun = rows[start] + 1
    done = begun
    directed = weights[DIRECTIONS]
    for y in range(start, stop):
        top, py = rows[y] + 1, fractions[y]
        while done < top + TAPS:
            _prepare(planes, done, begun, passes, edges, slopes, pairs)
            done += 1
        above, below = pairs[top % 2], pairs[(top + 1) % 2]
        _blend_rows(planes, top, py, columns[0], columns[1])
        for turn in range(passes.shape[0]):
            px = passes[turn]
            for plane in range(DIRECTIONS):
                weigh(above[turn, plane], below[turn, plane], py, weights[plane], active[plane])
            directed[:] = ZERO
            taps = (
                slopes[top % TAPS, turn], slopes[(top + 1) % TAPS, turn],
                slopes[(top + 2) % TAPS, turn], slopes[(top + 3) % TAPS, turn],
                slopes[(top + 4) % TAPS, turn], slopes[(top + 5) % TAPS, turn],
            )  # fmt: skip
            add_0(taps, py, strength, weights[0], active[0], directed)
            add_90(columns[1], banks[turn], px, strength, weights[1], active[1], directed)
            for plane in range(2, DIRECTIONS):
                first, step = (top, 1) if plane == 2 else (top + TAPS - 1, -1)
                if steady:
                    add_slanted(
                        planes, first, step, px[0], py, strength, weights[plane], active[plane],
                        directed,
                    )  # fmt: skip
                else:
                    add_any_slanted(
                        planes, first, step, px, py, strength, weights[plane], active[plane],
                        directed,
                    )  # fmt: skip
            _finish(
                columns[0], banks[turn, 0], weights, directed, above[turn], below[turn], py,
                blue_first, scratch[0, turn], scratch[1, turn], scratch[2, turn],
            )  # fmt: skip
        for colour in range(3):
            source, row = scratch[colour].reshape(passes.size), levels[colour]
            for x in range(order.size):
                row[x] = source[order[x]]
        store_row(levels, dst[y])
