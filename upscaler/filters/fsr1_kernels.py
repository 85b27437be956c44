"""AMD FSR 1.0.2 as compiled loops over rows, after `ffx_fsr1.h` (its names in brackets).

How it is made fast without leaving the shader's arithmetic:

- A pixel is one packed uint32 (red in the low byte), so that a tap is one load.
- What EASU derives from the four neighbours of a pixel (FsrEasuSetF) depends on the input pixel
  alone. It is computed once for each input pixel, not four times for each output pixel.
- Looking up input pixels by output column would keep LLVM from vectorising. So each row first
  copies its taps into columns that lie in the order of the output (`_spread`), and the arithmetic
  then runs over contiguous rows, eight pixels at a time.

The approximate reciprocals are part of the result: with exact ones, pixels differ by up to 22
levels. All arithmetic is float32; a stray Python float would make it float64. The order of the
operations is that of the shader as a compiler (Mesa's) leaves it, found by comparing its float
results bit for bit: where a pixel lies on a tie between two levels, the last bit decides.
"""

from __future__ import annotations

import numpy as np
from llvmlite import binding as llvm
from numba import njit

# LLVM vectorises a loop over arrays only after proving at run time that they do not overlap, and
# by default gives up beyond 8 such tests; the row loops here touch up to 22 arrays.
llvm.set_option("", "-runtime-memory-check-threshold=128")

MARGIN = 2
"""Pixels around the packed input: EASU's taps reach from -1 to +2 around positions from -1."""
TAPS = 12
EDGES = 16

_f = np.float32
_u = np.uint32
_ZERO, _HALF, _ONE, _TWO = _f(0), _f(0.5), _f(1), _f(2)
_UNIT_HIGH = _f(0x8080 / 2**23)
_UNIT_LOW = _f(1 / 255 - 0x8080 / 2**23)
_BYTE, _LEVELS = _u(255), _f(255)


@njit(inline="always")
def _bits(a):
    """Bits of a float (AU1_AF1)."""
    return _f(a).view(_u)


@njit(inline="always")
def _float(a):
    """Float of these bits (AF1_AU1)."""
    return _u(a).view(_f)


@njit(inline="always")
def _prx_lo_rcp(a):
    """Approximate reciprocal (APrxLoRcpF1)."""
    return _float(_u(0x7EF07EBB) - _bits(a))


@njit(inline="always")
def _prx_lo_rsq(a):
    """Approximate reciprocal square root (APrxLoRsqF1)."""
    return _float(_u(0x5F347D74) - (_bits(a) >> _u(1)))


@njit(inline="always")
def _prx_med_rcp(a):
    """Approximate reciprocal with one Newton step (APrxMedRcpF1)."""
    b = _float(_u(0x7EF19FFF) - _bits(a))
    return b * (-b * a + _TWO)


@njit(inline="always")
def _unit(level):
    """`level / 255` for 0..255, correctly rounded, without a division.

    The first product is exact, since its factor has 16 bits; the second is too small to matter.
    """
    return level * _UNIT_HIGH + level * _UNIT_LOW


@njit(inline="always")
def _red(pixel):
    return _unit(_f(pixel & _BYTE))


@njit(inline="always")
def _green(pixel):
    return _unit(_f((pixel >> _u(8)) & _BYTE))


@njit(inline="always")
def _blue(pixel):
    return _unit(_f((pixel >> _u(16)) & _BYTE))


@njit(inline="always")
def _smaller(a, b):
    return min(b, a)


@njit(inline="always")
def _larger(a, b):
    return max(b, a)


@njit(inline="always")
def _pack(red, green, blue):
    """Round three values in 0..1 to 8 bits, ties to even as a texture does, and pack them."""
    r, g, b = _u(np.rint(red * _LEVELS)), _u(np.rint(green * _LEVELS)), _u(np.rint(blue * _LEVELS))
    return r | (g << _u(8)) | (b << _u(16))


# Declared read-only, since a caller's frame may be; writable arrays pass too.
@njit(
    "void(Array(uint8, 3, 'C', readonly=True), boolean, uint32[:, ::1], float32[:, ::1], intp,"
    " intp)",
    nogil=True,
    cache=True,
)
def pack_rows(src, blue_first, packed, luma, start, stop):
    """Pack rows `start` to `stop` of the padded input, edges repeated, and take their luma.

    Luma is B / 2 + (R / 2 + G), in 0..2 (FsrEasuF).
    """
    height, width = src.shape[0], src.shape[1]
    red, blue = (2, 0) if blue_first else (0, 2)
    for y in range(start, stop):
        row = src[min(max(y - MARGIN, 0), height - 1)]
        out = packed[y]
        for x in range(width):
            out[x + MARGIN] = (
                _u(row[x, red]) | (_u(row[x, 1]) << _u(8)) | (_u(row[x, blue]) << _u(16))
            )
        for x in range(MARGIN):
            out[x] = out[MARGIN]
            out[width + MARGIN + x] = out[width + MARGIN - 1]
        light = luma[y]
        for x in range(width + 2 * MARGIN):
            pixel = out[x]
            light[x] = _blue(pixel) * _HALF + (_red(pixel) * _HALF + _green(pixel))


@njit(
    "void(float32[:, ::1], float32[:, :, ::1], intp, intp)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def analyse_rows(luma, fields, start, stop):
    """Direction and length of the edge at each padded input pixel (FsrEasuSetF).

    `fields` is (4, rows, columns): direction x and y, squared length x and y.
    """
    for y in range(start, stop):
        above, here, below = luma[y - 1], luma[y], luma[y + 1]
        direction_x, direction_y = fields[0, y], fields[1, y]
        length_x, length_y = fields[2, y], fields[3, y]
        for x in range(1, luma.shape[1] - 1):
            centre, left, right, up, down = here[x], here[x - 1], here[x + 1], above[x], below[x]
            along = right - left
            steep = _prx_lo_rcp(_larger(abs(right - centre), abs(centre - left)))
            amount = _smaller(abs(along) * steep, _ONE)
            direction_x[x] = along
            length_x[x] = amount * amount
            along = down - up
            steep = _prx_lo_rcp(_larger(abs(down - centre), abs(centre - up)))
            amount = _smaller(abs(along) * steep, _ONE)
            direction_y[x] = along
            length_y[x] = amount * amount


@njit(inline="always")
def _tap(x, y, cosine, sine, stretch_x, stretch_y, lobe, clip):
    """Weight of a tap at offset (x, y) from the position (FsrEasuTapF)."""
    along = (x * cosine + y * sine) * stretch_x
    across = (y * cosine - x * sine) * stretch_y
    square = _smaller(along * along + across * across, clip)
    window = _f(2 / 5) * square - _ONE
    base = lobe * square - _ONE
    return ((_f(25 / 16) * window) * window - _f(25 / 16 - 1)) * (base * base)


@njit(inline="always")
def _spread(packed, fields, y, columns, taps, edges):
    """Bring the taps and the edge fields of one output row into the order of its columns."""
    above, first, second, below = packed[y - 1], packed[y], packed[y + 1], packed[y + 2]
    for x in range(columns.size):
        f = columns[x]
        taps[0, x] = above[f]
        taps[1, x] = above[f + 1]
        taps[2, x] = first[f - 1]
        taps[3, x] = first[f]
        taps[4, x] = first[f + 1]
        taps[5, x] = first[f + 2]
        taps[6, x] = second[f - 1]
        taps[7, x] = second[f]
        taps[8, x] = second[f + 1]
        taps[9, x] = second[f + 2]
        taps[10, x] = below[f]
        taps[11, x] = below[f + 1]
        for field in range(4):
            edges[4 * field, x] = fields[field, y, f]
            edges[4 * field + 1, x] = fields[field, y, f + 1]
            edges[4 * field + 2, x] = fields[field, y + 1, f]
            edges[4 * field + 3, x] = fields[field, y + 1, f + 1]


@njit(inline="always")
def _blend(edges, first, x, ws, wt, wu, wv):
    """Weigh a field of the four nearest pixels, which the shader calls S, T, U and V."""
    return ((edges[first, x] * ws + edges[first + 1, x] * wt) + edges[first + 2, x] * wu) + edges[
        first + 3, x
    ] * wv


@njit(inline="always")
def _filter_row(taps, edges, fractions, py, out):
    """One output row from its spread taps (FsrEasuF)."""
    b, c, e, f, g, h = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    i, j, k, l, n, o = taps[6], taps[7], taps[8], taps[9], taps[10], taps[11]  # noqa: E741 - AMD's
    for x in range(fractions.size):
        px = fractions[x]
        ws, wt = (_ONE - px) * (_ONE - py), px * (_ONE - py)
        wu, wv = (_ONE - px) * py, px * py
        cosine = _blend(edges, 0, x, ws, wt, wu, wv)
        sine = _blend(edges, 4, x, ws, wt, wu, wv)
        # The shader adds x and y in turn, and its compiler takes the first pair together.
        length = ws * (edges[8, x] + edges[12, x])
        length = (length + edges[9, x] * wt) + edges[13, x] * wt
        length = (length + edges[10, x] * wu) + edges[14, x] * wu
        length = (length + edges[11, x] * wv) + edges[15, x] * wv
        square = cosine * cosine + sine * sine
        flat = square < _f(1 / 32768)
        inverse = _ONE if flat else _prx_lo_rsq(square)
        cosine = (_ONE if flat else cosine) * inverse
        sine = sine * inverse
        length = length * _HALF
        length = length * length
        stretch = (cosine * cosine + sine * sine) * _prx_lo_rcp(_larger(abs(cosine), abs(sine)))
        stretch_x = (_ONE - length) + stretch * length
        stretch_y = _ONE - _HALF * length
        lobe = _HALF + _f(1 / 4 - 0.04 - 0.5) * length
        clip = _prx_lo_rcp(lobe)
        # Unrolled, since a loop over tuples would not vectorise; in the shader's order.
        wb = _tap(_ZERO - px, -_ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wc = _tap(_ONE - px, -_ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wi = _tap(-_ONE - px, _ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wj = _tap(_ZERO - px, _ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wf = _tap(_ZERO - px, _ZERO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        we = _tap(-_ONE - px, _ZERO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wk = _tap(_ONE - px, _ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wl = _tap(_TWO - px, _ONE - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wh = _tap(_TWO - px, _ZERO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wg = _tap(_ONE - px, _ZERO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wo = _tap(_ONE - px, _TWO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        wn = _tap(_ZERO - px, _TWO - py, cosine, sine, stretch_x, stretch_y, lobe, clip)
        total = ((wb + (wc + wi)) + (wf + (wj + (we + wk)))) + (wh + (wl + (wn + (wg + wo))))
        red = (
            _red(b[x]) * wb
            + _red(c[x]) * wc
            + _red(i[x]) * wi
            + _red(j[x]) * wj
            + _red(f[x]) * wf
            + _red(e[x]) * we
            + _red(k[x]) * wk
            + _red(l[x]) * wl
            + _red(h[x]) * wh
            + _red(g[x]) * wg
            + _red(o[x]) * wo
            + _red(n[x]) * wn
        )
        green = (
            _green(b[x]) * wb
            + _green(c[x]) * wc
            + _green(i[x]) * wi
            + _green(j[x]) * wj
            + _green(f[x]) * wf
            + _green(e[x]) * we
            + _green(k[x]) * wk
            + _green(l[x]) * wl
            + _green(h[x]) * wh
            + _green(g[x]) * wg
            + _green(o[x]) * wo
            + _green(n[x]) * wn
        )
        blue = (
            _blue(b[x]) * wb
            + _blue(c[x]) * wc
            + _blue(i[x]) * wi
            + _blue(j[x]) * wj
            + _blue(f[x]) * wf
            + _blue(e[x]) * we
            + _blue(k[x]) * wk
            + _blue(l[x]) * wl
            + _blue(h[x]) * wh
            + _blue(g[x]) * wg
            + _blue(o[x]) * wo
            + _blue(n[x]) * wn
        )
        scale = _ONE / total
        out[x] = _pack(
            _between(red * scale, _red(f[x]), _red(g[x]), _red(j[x]), _red(k[x])),
            _between(green * scale, _green(f[x]), _green(g[x]), _green(j[x]), _green(k[x])),
            _between(blue * scale, _blue(f[x]), _blue(g[x]), _blue(j[x]), _blue(k[x])),
        )


@njit(inline="always")
def _between(value, f, g, j, k):
    """Clamp to the four nearest pixels, which removes ringing."""
    least = _smaller(_smaller(f, g), _smaller(j, k))
    most = _larger(_larger(f, g), _larger(j, k))
    return _smaller(most, _larger(least, value))


@njit(
    "void(uint32[:, ::1], float32[:, :, ::1], intp[::1], float32[::1], intp[::1], float32[::1],"
    " uint32[:, ::1], float32[:, ::1], uint32[:, ::1], intp, intp)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def easu_rows(
    packed, fields, columns, column_fractions, rows, row_fractions,
    taps, edges, out, start, stop,
):  # fmt: skip
    """Upscale output rows `start` to `stop` into the inside of `out`, which has a border of one.

    `columns` and `rows` are the padded input positions left of and above each output pixel, with
    their fractions; `taps` and `edges` are scratch of this thread.
    """
    for y in range(start, stop):
        py = row_fractions[y]
        _spread(packed, fields, rows[y], columns, taps, edges)
        _filter_row(taps, edges, column_fractions, py, out[y + 1, 1 : columns.size + 1])


@njit(inline="always")
def _limit(b, d, e, f, h):
    """Most negative lobe of one colour that neither clips nor rings (FsrRcasF, 1.0.2)."""
    least = _smaller(_smaller(b, d), _smaller(f, h))
    most = _larger(_larger(b, d), _larger(f, h))
    hit_least = _smaller(least, e) * (_ONE / (_f(4) * most))
    hit_most = (_ONE - _larger(most, e)) * (_ONE / (_f(4) * least - _f(4)))
    # A white ring makes the second 0 / 0, a black one the first; on a GPU, max() ignores a NaN.
    return -hit_least if hit_most != hit_most else _larger(-hit_least, hit_most)  # noqa: PLR0124


@njit(inline="always")
def _sharpen(b, d, e, f, h, lobe, scale):
    value = (lobe * (((b + d) + h) + f) + e) * scale
    return _smaller(_larger(value, _ZERO), _ONE)


@njit(
    "void(uint32[:, ::1], float32, uint32[:, ::1], intp, intp)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def rcas_rows(image, strength, out, start, stop):
    """Sharpen rows `start` to `stop` of `image`, which has a border of one, into `out` (FsrRcasF).

    `strength` is 2 to the power of minus the sharpness in stops.
    """
    for y in range(start, stop):
        above, here, below = image[y], image[y + 1], image[y + 2]
        target = out[y]
        for x in range(target.size):
            b, d, e, f, h = above[x + 1], here[x], here[x + 1], here[x + 2], below[x + 1]
            br, dr, er = _red(b), _red(d), _red(e)
            fr, hr = _red(f), _red(h)
            bg, dg, eg = _green(b), _green(d), _green(e)
            fg, hg = _green(f), _green(h)
            bb, db, eb = _blue(b), _blue(d), _blue(e)
            fb, hb = _blue(f), _blue(h)
            limit = _larger(
                _larger(_limit(br, dr, er, fr, hr), _limit(bg, dg, eg, fg, hg)),
                _limit(bb, db, eb, fb, hb),
            )
            lobe = _larger(_f(-0.1875), _smaller(limit, _ZERO)) * strength
            scale = _prx_med_rcp(_f(4) * lobe + _ONE)
            target[x] = _pack(
                _sharpen(br, dr, er, fr, hr, lobe, scale),
                _sharpen(bg, dg, eg, fg, hg, lobe, scale),
                _sharpen(bb, db, eb, fb, hb, lobe, scale),
            )


@njit("void(uint32[:, ::1], boolean, uint8[:, :, ::1], intp, intp)", nogil=True, cache=True)
def unpack_rows(packed, blue_first, dst, start, stop):
    """Write packed rows `start` to `stop` as interleaved bytes; alpha, where there is one, 255."""
    red, blue = (2, 0) if blue_first else (0, 2)
    opaque = dst.shape[2] == 4
    for y in range(start, stop):
        row, out = packed[y], dst[y]
        for x in range(row.size):
            pixel = row[x]
            out[x, red] = pixel & _BYTE
            out[x, 1] = (pixel >> _u(8)) & _BYTE
            out[x, blue] = (pixel >> _u(16)) & _BYTE
            if opaque:
                out[x, 3] = _BYTE
