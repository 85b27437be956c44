"""Separable filters of 4 and 6 taps as compiled loops over rows, for bytes of any channels.

Each output row is first interpolated along y from whole input rows, which is one contiguous loop,
then along x in passes over input positions (see `positions`). Everything between is float32; the
result is rounded once, to the nearest level.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_HALF, _BLACK, _WHITE = np.float32(0.5), np.float32(0), np.float32(255)


@njit(inline="always")
def _level(value):
    return np.uint8(min(max(value + _HALF, _BLACK), _WHITE))


@njit(inline="always")
def _raise_row(src, taps, weights, out):
    """Interpolate a row of bytes along y into the floats `out`."""
    a, b, c, d = src[taps[0]], src[taps[1]], src[taps[2]], src[taps[3]]
    if weights.size == 4:
        wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
        for x in range(out.size):
            out[x] = a[x] * wa + b[x] * wb + c[x] * wc + d[x] * wd
    else:
        e, g = src[taps[4]], src[taps[5]]
        wa, wb, wc, wd, we, wg = (
            weights[0], weights[1], weights[2], weights[3], weights[4], weights[5],
        )  # fmt: skip
        for x in range(out.size):
            out[x] = a[x] * wa + b[x] * wb + c[x] * wc + d[x] * wd + e[x] * we + g[x] * wg


@njit(inline="always")
def _widen_row(row, weights, steady, channels, out):
    """Interpolate along x: one result for each value of `weights[0]`, from `row` on.

    `steady` says that the weights are the same everywhere.
    """
    a, b, c, d = row, row[channels:], row[2 * channels :], row[3 * channels :]
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    if weights.shape[0] == 4 and steady:
        middle = out.size // 2
        va, vb, vc, vd = wa[middle], wb[middle], wc[middle], wd[middle]
        for x in range(out.size):
            out[x] = _level(a[x] * va + b[x] * vb + c[x] * vc + d[x] * vd)
    elif weights.shape[0] == 4:
        for x in range(out.size):
            out[x] = _level(a[x] * wa[x] + b[x] * wb[x] + c[x] * wc[x] + d[x] * wd[x])
    else:
        e, g = row[4 * channels :], row[5 * channels :]
        we, wg = weights[4], weights[5]
        for x in range(out.size):
            out[x] = _level(
                a[x] * wa[x] + b[x] * wb[x] + c[x] * wc[x]
                + d[x] * wd[x] + e[x] * we[x] + g[x] * wg[x]
            )  # fmt: skip


# The source is declared read-only, since a caller's frame may be; writable arrays pass too.
@njit(
    "void(Array(uint8, 2, 'C', readonly=True), intp, intp[:, ::1], float32[:, ::1], intp[::1],"
    " float32[:, :, ::1], boolean, intp[::1], float32[::1], uint8[:, ::1], uint8[:, ::1], intp,"
    " intp)",
    nogil=True,
    cache=True,
)
def resize_rows(
    src, channels, row_taps, row_weights, edge, column_weights, steady, order, line, passes, dst,
    start, stop,
):  # fmt: skip
    """Resize into rows `start` to `stop` of `dst`; `src` and `dst` are (rows, values).

    `row_taps` and `row_weights` are (rows of dst, taps). `column_weights` is (passes, taps,
    positions x channels). `edge` lists the input columns that stand outside the picture, first
    those left of it. `line` is one row with them; `passes` holds the results of a row.
    """
    margin = edge.size // 2
    width = src.shape[1] // channels
    inside = line[margin * channels : (margin + width) * channels]
    for y in range(start, stop):
        _raise_row(src, row_taps[y], row_weights[y], inside)
        for outside in range(edge.size):
            place = outside if outside < margin else outside + width
            for channel in range(channels):
                line[place * channels + channel] = inside[edge[outside] * channels + channel]
        for turn in range(column_weights.shape[0]):
            _widen_row(line, column_weights[turn], steady, channels, passes[turn])
        flat, out = passes.reshape(passes.size), dst[y]
        if channels == 3:
            for x in range(order.size):
                place = 3 * order[x]
                out[3 * x] = flat[place]
                out[3 * x + 1] = flat[place + 1]
                out[3 * x + 2] = flat[place + 2]
        else:
            pixels, wide = flat.view(np.uint32), out.view(np.uint32)
            for x in range(order.size):
                wide[x] = pixels[order[x]]
