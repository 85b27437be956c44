"""AMD FSR 1.0.2's RCAS, and FSR1 as a whole, as compiled loops over rows, after `ffx_fsr1.h`.

Both passes run over a band of rows in one go: three rows of EASU's result are kept, never a frame.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from upscaler.filters.easu_kernels import easu_row
from upscaler.filters.shader import (
    HALF,
    ONE,
    ZERO,
    f,
    larger,
    level,
    luma,
    prx_med_rcp,
    smaller,
)

OPAQUE = 255
KEPT = 3
"""Rows of EASU's result that RCAS looks at."""


@njit(inline="always")
def _limit(b, d, e, f_, h, ring_only):
    """Most negative lobe of one colour that neither clips nor rings (FsrRcasF).

    FSR 1.0 looked at the ring only; 1.0.2 takes the centre `e` into account.
    """
    least = smaller(smaller(b, d), smaller(f_, h))
    most = larger(larger(b, d), larger(f_, h))
    low = least if ring_only else smaller(least, e)
    high = most if ring_only else larger(most, e)
    hit_least = low * (ONE / (f(4) * most))
    hit_most = (ONE - high) * (ONE / (f(4) * least - f(4)))
    # A white ring makes the second 0 / 0, a black one the first; on a GPU, max() ignores a NaN.
    return -hit_least if hit_most != hit_most else larger(-hit_least, hit_most)  # noqa: PLR0124


@njit(inline="always")
def _noise(b, d, e, f_, h):
    """Factor of the lobe where the picture looks like noise, 0.5..1, from lumas (nz)."""
    difference = ((f(0.25) * b + f(0.25) * d) + f(0.25) * f_) + f(0.25) * h - e
    most = larger(larger(larger(larger(b, d), e), f_), h)
    least = smaller(smaller(smaller(smaller(b, d), e), f_), h)
    amount = smaller(larger(abs(difference) * prx_med_rcp(most - least), ZERO), ONE)
    return -HALF * amount + ONE


@njit(inline="always")
def _sharpen(b, d, e, f_, h, lobe, scale):
    value = (lobe * (((b + d) + h) + f_) + e) * scale
    return smaller(larger(value, ZERO), ONE)


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32, boolean, boolean, boolean,"
    " float32[:, ::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def rcas_row(above, here, below, strength, ring_only, denoise, blue_first, out):
    """Sharpen a row, (3, columns + 2) with a border of one, into levels (3, columns) (FsrRcasF).

    `strength` is 2 to the power of minus the sharpness in stops.
    """
    red, blue = (2, 0) if blue_first else (0, 2)
    for x in range(out.shape[1]):
        br, bg, bb = above[0, x + 1], above[1, x + 1], above[2, x + 1]
        dr, dg, db = here[0, x], here[1, x], here[2, x]
        er, eg, eb = here[0, x + 1], here[1, x + 1], here[2, x + 1]
        fr, fg, fb = here[0, x + 2], here[1, x + 2], here[2, x + 2]
        hr, hg, hb = below[0, x + 1], below[1, x + 1], below[2, x + 1]
        limit = larger(
            larger(_limit(br, dr, er, fr, hr, ring_only), _limit(bg, dg, eg, fg, hg, ring_only)),
            _limit(bb, db, eb, fb, hb, ring_only),
        )
        lobe = larger(f(-0.1875), smaller(limit, ZERO)) * strength
        if denoise:
            lobe *= _noise(
                luma(above[red, x + 1], bg, above[blue, x + 1]),
                luma(here[red, x], dg, here[blue, x]),
                luma(here[red, x + 1], eg, here[blue, x + 1]),
                luma(here[red, x + 2], fg, here[blue, x + 2]),
                luma(below[red, x + 1], hg, below[blue, x + 1]),
            )
        scale = prx_med_rcp(f(4) * lobe + ONE)
        out[0, x] = level(_sharpen(br, dr, er, fr, hr, lobe, scale))
        out[1, x] = level(_sharpen(bg, dg, eg, fg, hg, lobe, scale))
        out[2, x] = level(_sharpen(bb, db, eb, fb, hb, lobe, scale))


@njit("void(float32[:, ::1], uint8[::1])", nogil=True, cache=True)
def store_row(levels, out):
    """Write three planes of levels as interleaved bytes; alpha, where there is one, 255."""
    first, second, third = levels[0], levels[1], levels[2]
    if out.size == 4 * first.size:
        for x in range(first.size):
            out[4 * x] = np.uint8(first[x])
            out[4 * x + 1] = np.uint8(second[x])
            out[4 * x + 2] = np.uint8(third[x])
            out[4 * x + 3] = np.uint8(OPAQUE)
    else:
        for x in range(first.size):
            out[3 * x] = np.uint8(first[x])
            out[3 * x + 1] = np.uint8(second[x])
            out[3 * x + 2] = np.uint8(third[x])


@njit(
    "void(float32[:, :, ::1], float32[:, :, ::1], float32[:, ::1], intp[::1], intp[::1],"
    " float32[::1], boolean, boolean, float32, boolean, boolean, boolean, float32[:, :, ::1],"
    " float32[:, :, ::1], float32[:, ::1], uint8[:, ::1], intp, intp)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def fsr1_rows(
    colours, edges, passes, order, rows, fractions, rounded, clamped,
    strength, ring_only, denoise, blue_first, scratch, kept, levels, dst, start, stop,
):  # fmt: skip
    """Upscale and sharpen output rows `start` to `stop`.

    `kept` is (3, 3, columns + 2): rows of EASU's result, with a border of one.
    """
    last = rows.size - 1
    for y in range(start - 1, stop + 1):
        row = kept[(y + 1) % KEPT]
        if clamped or 0 <= y <= last:
            inside = min(max(y, 0), last)
            easu_row(
                colours, edges, passes, order, rows[inside], fractions[inside], rounded,
                scratch, row,
            )  # fmt: skip
            for colour in range(3):
                row[colour, 0] = row[colour, 1] if clamped else ZERO
                row[colour, -1] = row[colour, -2] if clamped else ZERO
        else:
            row[:] = ZERO
        if y > start:
            rcas_row(
                kept[(y - 1) % KEPT], kept[y % KEPT], row, strength, ring_only, denoise,
                blue_first, levels,
            )  # fmt: skip
            store_row(levels, dst[y - 1])


@njit(
    "void(float32[:, :, ::1], float32[:, :, ::1], float32[:, ::1], intp[::1], intp[::1],"
    " float32[::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1], uint8[:, ::1], intp,"
    " intp)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def easu_rows(
    colours, edges, passes, order, rows, fractions, scratch, row, levels, dst, start, stop
):
    """Upscale output rows `start` to `stop` by EASU alone."""
    for y in range(start, stop):
        easu_row(colours, edges, passes, order, rows[y], fractions[y], False, scratch, row)  # noqa: FBT003
        for colour in range(3):
            source, target = row[colour], levels[colour]
            for x in range(target.size):
                target[x] = level(source[x + 1])
        store_row(levels, dst[y])
