"""AMD FSR 1.0.2's EASU as compiled loops over rows, after `ffx_fsr1.h` (its names in brackets).

How it is made fast without leaving the shader's arithmetic:

- Colours are float32 planes, converted once for each input pixel and not for each of 12 taps.
- What EASU derives from the four neighbours of a pixel (FsrEasuSetF) depends on the input pixel
  alone. It too is computed once for each input pixel, not four times for each output pixel.
- Rows are computed in passes over input positions (see `positions`), so that every load is
  contiguous and the arithmetic runs on eight or sixteen pixels at a time.

The order of the operations is that of the shader as a compiler (Mesa's) leaves it, found by
comparing its float results bit for bit: where a pixel lies on a tie between two levels, the last
bit decides.
"""

from __future__ import annotations

from numba import njit

from upscaler.filters.shader import (
    HALF,
    ONE,
    TWO,
    ZERO,
    f,
    larger,
    level,
    luma,
    prx_lo_rcp,
    prx_lo_rsq,
    smaller,
    unit,
)

MARGIN = 2
"""Pixels around the input: EASU's taps reach from -1 to +2 around positions from -1."""


# Declared read-only, since a caller's frame may be; writable arrays pass too.
@njit(
    "void(Array(uint8, 2, 'C', readonly=True), boolean, float32[:, :, ::1], float32[:, ::1], intp,"
    " intp)",
    nogil=True,
    cache=True,
)
def expand_rows(src, blue_first, colours, light, start, stop):
    """Spread rows `start` to `stop` of the padded input, edges repeated, into planes in 0..1.

    `src` is (rows, values); `colours` (padded rows, 3, padded columns) in the order of the pixel
    format; `light` twice their luma.
    """
    height = src.shape[0]
    width = light.shape[1] - 2 * MARGIN
    wide = src.shape[1] == 4 * width
    for y in range(start, stop):
        row = src[min(max(y - MARGIN, 0), height - 1)]
        first, green, last = colours[y, 0], colours[y, 1], colours[y, 2]
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
        for colour in range(3):
            plane = colours[y, colour]
            for x in range(MARGIN):
                plane[x] = plane[MARGIN]
                plane[width + MARGIN + x] = plane[width + MARGIN - 1]
        red, blue = (last, first) if blue_first else (first, last)
        out = light[y]
        for x in range(out.size):
            out[x] = luma(red[x], green[x], blue[x])


@njit(
    "void(float32[:, ::1], float32[:, :, ::1], intp, intp)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def analyse_rows(light, edges, start, stop):
    """Direction and length of the edge at each padded input pixel (FsrEasuSetF).

    `edges` is (rows, 4, columns): direction x and y, squared length x and y.
    """
    for y in range(start, stop):
        above, here, below = light[y - 1], light[y], light[y + 1]
        direction_x, direction_y = edges[y, 0], edges[y, 1]
        length_x, length_y = edges[y, 2], edges[y, 3]
        for x in range(1, light.shape[1] - 1):
            centre, left, right, up, down = here[x], here[x - 1], here[x + 1], above[x], below[x]
            along = right - left
            steep = prx_lo_rcp(larger(abs(right - centre), abs(centre - left)))
            amount = smaller(abs(along) * steep, ONE)
            direction_x[x] = along
            length_x[x] = amount * amount
            along = down - up
            steep = prx_lo_rcp(larger(abs(down - centre), abs(centre - up)))
            amount = smaller(abs(along) * steep, ONE)
            direction_y[x] = along
            length_y[x] = amount * amount


@njit(inline="always")
def _tap(x, y, cosine, sine, stretch_x, stretch_y, lobe, clip):
    """Weight of a tap at offset (x, y) from the position (FsrEasuTapF)."""
    along = (x * cosine + y * sine) * stretch_x
    across = (y * cosine - x * sine) * stretch_y
    square = smaller(along * along + across * across, clip)
    window = f(2 / 5) * square - ONE
    base = lobe * square - ONE
    return ((f(25 / 16) * window) * window - f(25 / 16 - 1)) * (base * base)


@njit(inline="always")
def _blend(s, t, u, v, ws, wt, wu, wv):
    """Weigh a value of the four nearest pixels, which the shader calls S, T, U and V."""
    return ((s * ws + t * wt) + u * wu) + v * wv


@njit(inline="always")
def _between(value, f_, g, j, k):
    """Clamp to the four nearest pixels, which removes ringing."""
    least = smaller(smaller(f_, g), smaller(j, k))
    most = larger(larger(f_, g), larger(j, k))
    return smaller(most, larger(least, value))


@njit(inline="always")
def _colour(b, c, e, f_, g, h, i, j, k, l, n, o, w, scale, rounded):  # noqa: E741 - AMD's names
    total = (
        b * w[0] + c * w[1] + i * w[2] + j * w[3] + f_ * w[4] + e * w[5]
        + k * w[6] + l * w[7] + h * w[8] + g * w[9] + o * w[10] + n * w[11]
    )  # fmt: skip
    value = _between(total * scale, f_, g, j, k)
    return unit(level(value)) if rounded else value


@njit(inline="always")
def _taps(above, here, after, below):
    """Rows of the 12 taps (b c, e f g h, i j k l, n o) of a colour, from rows that begin at -2."""
    return (
        above[1:], above[2:], here, here[1:], here[2:], here[3:],
        after, after[1:], after[2:], after[3:], below[1:], below[2:],
    )  # fmt: skip


@njit(inline="always")
def _pass(above, here, after, below, edges, more_edges, fractions, py, rounded,
          out0, out1, out2):  # fmt: skip
    """One output pixel for each input position of a row (FsrEasuF), in 0..1.

    The rows of input colours and edges are (3 or 4, padded columns) and begin at position -2.
    """
    b0, c0, e0, f0, g0, h0, i0, j0, k0, l0, n0, o0 = _taps(above[0], here[0], after[0], below[0])
    b1, c1, e1, f1, g1, h1, i1, j1, k1, l1, n1, o1 = _taps(above[1], here[1], after[1], below[1])
    b2, c2, e2, f2, g2, h2, i2, j2, k2, l2, n2, o2 = _taps(above[2], here[2], after[2], below[2])
    dxs, dxt, dxu, dxv = edges[0][1:], edges[0][2:], more_edges[0][1:], more_edges[0][2:]
    dys, dyt, dyu, dyv = edges[1][1:], edges[1][2:], more_edges[1][1:], more_edges[1][2:]
    lxs, lxt, lxu, lxv = edges[2][1:], edges[2][2:], more_edges[2][1:], more_edges[2][2:]
    lys, lyt, lyu, lyv = edges[3][1:], edges[3][2:], more_edges[3][1:], more_edges[3][2:]
    for x in range(fractions.size):
        px = fractions[x]
        ws, wt = (ONE - px) * (ONE - py), px * (ONE - py)
        wu, wv = (ONE - px) * py, px * py
        cosine = _blend(dxs[x], dxt[x], dxu[x], dxv[x], ws, wt, wu, wv)
        sine = _blend(dys[x], dyt[x], dyu[x], dyv[x], ws, wt, wu, wv)
        # The shader adds x and y in turn, and its compiler takes the first pair together.
        length = ws * (lxs[x] + lys[x])
        length = (length + lxt[x] * wt) + lyt[x] * wt
        length = (length + lxu[x] * wu) + lyu[x] * wu
        length = (length + lxv[x] * wv) + lyv[x] * wv
        square = cosine * cosine + sine * sine
        flat = square < f(1 / 32768)
        inverse = ONE if flat else prx_lo_rsq(square)
        cosine = (ONE if flat else cosine) * inverse
        sine = sine * inverse
        length = length * HALF
        length = length * length
        stretch = (cosine * cosine + sine * sine) * prx_lo_rcp(larger(abs(cosine), abs(sine)))
        stretch_x = (ONE - length) + stretch * length
        stretch_y = ONE - HALF * length
        lobe = HALF + f(1 / 4 - 0.04 - 0.5) * length
        clip = prx_lo_rcp(lobe)
        # Unrolled, since a loop over tuples would not vectorise; in the shader's order.
        wb = _tap(ZERO - px, -ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wc = _tap(ONE - px, -ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wi = _tap(-ONE - px, ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wj = _tap(ZERO - px, ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wf = _tap(ZERO - px, ZERO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        we = _tap(-ONE - px, ZERO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wk = _tap(ONE - px, ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wl = _tap(TWO - px, ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wh = _tap(TWO - px, ZERO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wg = _tap(ONE - px, ZERO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wo = _tap(ONE - px, TWO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wn = _tap(ZERO - px, TWO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        total = ((wb + (wc + wi)) + (wf + (wj + (we + wk)))) + (wh + (wl + (wn + (wg + wo))))
        weights = (wb, wc, wi, wj, wf, we, wk, wl, wh, wg, wo, wn)
        scale = ONE / total
        out0[x] = _colour(
            b0[x], c0[x], e0[x], f0[x], g0[x], h0[x],
            i0[x], j0[x], k0[x], l0[x], n0[x], o0[x], weights, scale, rounded,
        )  # fmt: skip
        out1[x] = _colour(
            b1[x], c1[x], e1[x], f1[x], g1[x], h1[x],
            i1[x], j1[x], k1[x], l1[x], n1[x], o1[x], weights, scale, rounded,
        )  # fmt: skip
        out2[x] = _colour(
            b2[x], c2[x], e2[x], f2[x], g2[x], h2[x],
            i2[x], j2[x], k2[x], l2[x], n2[x], o2[x], weights, scale, rounded,
        )  # fmt: skip


@njit(
    "void(float32[:, :, ::1], float32[:, :, ::1], float32[:, ::1], intp[::1], intp, float32,"
    " boolean, float32[:, :, ::1], float32[:, ::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def easu_row(colours, edges, passes, order, y, py, rounded, scratch, out):
    """Upscale the output row at input position `y` (from -1) and fraction `py`.

    `passes` and `order` are those of `Positions`; `scratch` is (3, passes, positions). `out` is
    (3, columns + 2), with room for a border of one; values in 0..1, at 8-bit levels if `rounded`.
    """
    top = y + MARGIN
    for turn in range(passes.shape[0]):
        _pass(
            colours[top - 1], colours[top], colours[top + 1], colours[top + 2],
            edges[top], edges[top + 1], passes[turn], py, rounded,
            scratch[0][turn], scratch[1][turn], scratch[2][turn],
        )  # fmt: skip
    for colour in range(3):
        plane = scratch[colour].reshape(passes.size)
        row = out[colour]
        for x in range(order.size):
            row[x + 1] = plane[order[x]]
