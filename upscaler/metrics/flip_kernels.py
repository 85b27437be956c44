"""LDR-FLIP as compiled loops over rows; `upscaler.metrics.flip` opens with the theory.

A picture goes through in one pass: its rows become opponent colours in a ring of as many rows as
the filters reach over, and each row of the result is filtered from the ring. What is held between
is some dozens of rows, which stay in the cache, and never a picture.

Everything is float32 in the order written, nothing fused or reordered: equal surroundings are
described equally to the bit, and differ by 0. Roots and powers are written out, since LLVM
vectorises arithmetic but no calls of a mathematical library. Where there is a division,
`error_model="numpy"` is part of that: a check for zero would take ten times as long.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

f, i = np.float32, np.int32
_ZERO, _ONE, _TWO = f(0), f(1), f(2)

# CIE 1976: lightness is the cube root of the share of white, and a line where that is dark.
_DARK, _DARK_SLOPE, _DARK_OFFSET = f((6 / 29) ** 3), f((29 / 6) ** 2 / 3), f(4 / 29)
_THIRD = f(1 / 3)
_ROOT_GUESS = i(0x2A510800)
"""About two thirds of the bits of 1.0; with exactly this, no guess is more than 3.2 % off."""

# log2(m) = 2 / ln 2 * (s + s**3 / 3 + s**5 / 5 + ...) with s = (m - 1) / (m + 1), |s| < 0.172.
_LOG_1, _LOG_3, _LOG_5, _LOG_7 = (f(2 / math.log(2) / power) for power in (1, 3, 5, 7))
_ROOT_HALF_BITS = i(0x3F3504F3)
# 2**r = 1 + r ln 2 + (r ln 2)**2 / 2! + ..., |r| <= 0.5.
_EXP_1, _EXP_2, _EXP_3, _EXP_4, _EXP_5, _EXP_6 = (
    f(math.log(2) ** power / math.factorial(power)) for power in range(1, 7)
)
_MANTISSA, _BIAS = i(23), i(127)
_SMALLEST = f(2.0**-126)

_OPPONENTS = 3
"""Planes: Y, X - Y and Y - Z, in shares of white."""
_SUMS = 7
# The seven filters are those of Y, of X - Y, two of Y - Z, a Gaussian and its two derivatives.
_DOWN = ((0, 0), (1, 1), (2, 2), (2, 3), (0, 4), (0, 5), (0, 6))
"""Which plane is filtered down by which filter, into a row each."""
_ACROSS = ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 2), (4, 5, 3), (5, 4, 4), (4, 6, 5), (6, 4, 6))
"""Which of these rows is then filtered across by which filter, into which sum: three colours, the
first derivative along x and along y, the second ones."""


@njit(inline="always")
def _clipped(value):
    return min(max(value, _ZERO), _ONE)


@njit(inline="always")
def _lightness(share):
    """Cube root of 0.0089..1, to 1e-7 of it; below, the line."""
    root = i(i(f(f(share).view(i)) * _THIRD) + _ROOT_GUESS).view(f)
    cube = root * root * root
    root *= (cube + _TWO * share) / (_TWO * cube + share)  # Halley's step: off by 2e-5
    root = (_TWO * root + share / (root * root)) * _THIRD  # Newton's: by less than the rounding
    return root if share > _DARK else _DARK_SLOPE * share + _DARK_OFFSET


@njit(inline="always")
def _power(base, exponent):
    """`base ** exponent` to 1e-6 of it, for bases in 0..2**20 and exponents in 0..1; 0 of 0."""
    bits = f(max(base, _SMALLEST)).view(i)
    whole = i(i(bits - _ROOT_HALF_BITS) >> _MANTISSA)
    rest = i(bits - i(whole << _MANTISSA)).view(f)  # 0.707..1.414
    s = (rest - _ONE) / (rest + _ONE)
    t = s * s
    logarithm = f(whole) + s * (_LOG_1 + t * (_LOG_3 + t * (_LOG_5 + t * _LOG_7)))
    wanted = logarithm * exponent
    nearest = np.rint(wanted)
    r = wanted - nearest
    tail = _EXP_3 + r * (_EXP_4 + r * (_EXP_5 + r * _EXP_6))
    power = _ONE + r * (_EXP_1 + r * (_EXP_2 + r * tail))
    power *= i(i(i(nearest) + _BIAS) << _MANTISSA).view(f)
    return power if base > _ZERO else _ZERO


@njit(
    "void(Array(uint8, 2, 'C', readonly=True), float32[::1], float32[:, ::1], intp,"
    " Array(float32, 2, 'A'))",
    nogil=True,
    cache=True,
)
def _oppose(row, linear, matrix, margin, out):
    """Write a row of sRGB pixels as opponent colours, its ends repeated `margin` times."""
    first, second, third = out[0], out[1], out[2]
    m00, m01, m02 = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    m10, m11, m12 = matrix[1, 0], matrix[1, 1], matrix[1, 2]
    m20, m21, m22 = matrix[2, 0], matrix[2, 1], matrix[2, 2]
    width = row.shape[0]
    for x in range(width):
        red, green, blue = linear[row[x, 0]], linear[row[x, 1]], linear[row[x, 2]]
        first[margin + x] = m00 * red + m01 * green + m02 * blue
        second[margin + x] = m10 * red + m11 * green + m12 * blue
        third[margin + x] = m20 * red + m21 * green + m22 * blue
    for plane in range(_OPPONENTS):
        out[plane, :margin] = out[plane, margin]
        out[plane, margin + width :] = out[plane, margin + width - 1]


@njit("void(float32[::1], intp[::1], float32[::1], float32[::1])", nogil=True, cache=True)
def _weigh(source, starts, weights, out):
    """Add to `out` the stretches of `source` that begin at `starts`, weighted.

    Eight at a time: LLVM vectorises no loop whose output may overlap more inputs.
    """
    tap = 0
    while tap + 8 <= weights.size:
        a, b = source[starts[tap] :], source[starts[tap + 1] :]
        c, d = source[starts[tap + 2] :], source[starts[tap + 3] :]
        e, g = source[starts[tap + 4] :], source[starts[tap + 5] :]
        h, k = source[starts[tap + 6] :], source[starts[tap + 7] :]
        wa, wb, wc, wd = weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]
        we, wg, wh, wk = weights[tap + 4], weights[tap + 5], weights[tap + 6], weights[tap + 7]
        for x in range(out.size):
            out[x] += ((a[x] * wa + b[x] * wb) + (c[x] * wc + d[x] * wd)) + (
                (e[x] * we + g[x] * wg) + (h[x] * wh + k[x] * wk)
            )
        tap += 8
    while tap < weights.size:
        a, wa = source[starts[tap] :], weights[tap]
        for x in range(out.size):
            out[x] += a[x] * wa
        tap += 1


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _appear(sums, to_rgb, to_shares, out):
    """Turn a row of sums into L*, a* and b* after Hunt, the strength of edges and of points."""
    first, second, third = sums[0], sums[1], sums[2]
    lightness, red_green, yellow_blue = out[0], out[1], out[2]
    p00, p01, p02 = to_rgb[0, 0], to_rgb[0, 1], to_rgb[0, 2]
    p10, p11, p12 = to_rgb[1, 0], to_rgb[1, 1], to_rgb[1, 2]
    p20, p21, p22 = to_rgb[2, 0], to_rgb[2, 1], to_rgb[2, 2]
    q00, q01, q02 = to_shares[0, 0], to_shares[0, 1], to_shares[0, 2]
    q10, q11, q12 = to_shares[1, 0], to_shares[1, 1], to_shares[1, 2]
    q20, q21, q22 = to_shares[2, 0], to_shares[2, 1], to_shares[2, 2]
    for x in range(lightness.size):
        a, b, c = first[x], second[x], third[x]
        red = _clipped(p00 * a + p01 * b + p02 * c)
        green = _clipped(p10 * a + p11 * b + p12 * c)
        blue = _clipped(p20 * a + p21 * b + p22 * c)
        fx = _lightness(q00 * red + q01 * green + q02 * blue)
        fy = _lightness(q10 * red + q11 * green + q12 * blue)
        fz = _lightness(q20 * red + q21 * green + q22 * blue)
        light = f(116) * fy - f(16)
        lightness[x] = light
        red_green[x] = f(500 / 100) * light * (fx - fy)
        yellow_blue[x] = f(200 / 100) * light * (fy - fz)
    for kind in range(2):
        across, down, strength = sums[3 + 2 * kind], sums[4 + 2 * kind], out[3 + kind]
        for x in range(strength.size):
            strength[x] = math.sqrt(across[x] * across[x] + down[x] * down[x])


@njit(
    "void(Array(float32, 2, 'C', readonly=True), float32[:, ::1], float32[::1], float32[::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _differ(reference, picture, response, out):
    """Compare two described rows; `response` is that of `errors_of`."""
    l0, a0, b0, e0, p0 = reference[0], reference[1], reference[2], reference[3], reference[4]
    l1, a1, b1, e1, p1 = picture[0], picture[1], picture[2], picture[3], picture[4]
    exponent, elbow, below, at_elbow, above = (
        response[0], response[1], response[2], response[3], response[4],
    )  # fmt: skip
    for x in range(out.size):
        a, b = a0[x] - a1[x], b0[x] - b1[x]
        colour = _power(abs(l0[x] - l1[x]) + math.sqrt(a * a + b * b), exponent)
        colour = colour * below if colour < elbow else at_elbow + (colour - elbow) * above
        feature = max(abs(e0[x] - e1[x]), abs(p0[x] - p1[x]))
        out[x] = _power(colour, _ONE - math.sqrt(feature * f(math.sqrt(0.5))))


@njit(
    "Tuple((float32[:, ::1], float32[:, ::1], float32[:, ::1], intp[::1], intp[::1]))"
    "(intp, UniTuple(float32[::1], 7))",
    nogil=True,
    cache=True,
)
def _scratch(width, filters):
    """Return the ring, rows filtered down, sums, and where taps begin, down and across."""
    taps = 0
    for weights in filters:
        taps = max(taps, weights.size)
    stride = width + taps - 1
    return (
        np.empty((_OPPONENTS, taps * stride), f),
        np.empty((len(_DOWN), stride), f),
        np.empty((_SUMS, width), f),
        np.empty(taps, np.intp),
        np.arange(taps),
    )


@njit(
    "void(Array(uint8, 3, 'C', readonly=True), intp, float32[::1], float32[:, :, ::1],"
    " UniTuple(float32[::1], 7), float32[:, ::1], float32[:, ::1], float32[:, ::1], intp[::1],"
    " intp[::1], float32[:, ::1])",
    nogil=True,
    cache=True,
)
def _describe_row(
    source, y, linear, matrices, filters, ring, lines, sums, starts_down, starts_across, out
):  # fmt: skip
    """Describe row `y`; those above have been, with the same scratch."""
    height, slots, stride = source.shape[0], starts_down.size, lines.shape[1]
    margin = slots // 2
    for row in range(0 if y == 0 else y + margin, min(y + margin + 1, height)):
        start = row % slots * stride
        _oppose(source[row], linear, matrices[0], margin, ring[:, start : start + stride])
    for tap in range(slots):
        row = min(max(y - margin + tap, 0), height - 1)
        starts_down[tap] = row % slots * stride
    lines[:] = _ZERO
    for line in range(len(_DOWN)):
        plane, which = _DOWN[line]
        weights = filters[which]
        skipped = margin - weights.size // 2
        _weigh(ring[plane], starts_down[skipped:], weights, lines[line])
    sums[:] = _ZERO
    for turn in range(len(_ACROSS)):
        line, which, result = _ACROSS[turn]
        weights = filters[which]
        skipped = margin - weights.size // 2
        _weigh(lines[line], starts_across[skipped:], weights, sums[result])
    _appear(sums, matrices[1], matrices[2], out)


@njit(
    "void(Array(uint8, 3, 'C', readonly=True), float32[::1], float32[:, :, ::1],"
    " UniTuple(float32[::1], 7), float32[:, :, ::1])",
    nogil=True,
    cache=True,
)
def describe(source, linear, matrices, filters, out):
    """Write what is compared of a picture into (H, 5, W): L*, a*, b*, edges and points.

    `linear` is the light of each level. The three matrices lead from linear RGB to opponent
    colours, from these to linear RGB, and from there to X, Y, Z in shares of white. Each of the
    filters (see `_DOWN`) is centred.
    """
    ring, lines, sums, down, across = _scratch(source.shape[1], filters)
    for y in range(source.shape[0]):
        _describe_row(source, y, linear, matrices, filters, ring, lines, sums, down, across, out[y])


@njit(
    "void(Array(uint8, 3, 'C', readonly=True), float32[::1], float32[:, :, ::1],"
    " UniTuple(float32[::1], 7), Array(float32, 3, 'C', readonly=True), float32[::1],"
    " float32[:, ::1])",
    nogil=True,
    cache=True,
)
def errors_of(source, linear, matrices, filters, reference, response, out):
    """Write the error of every pixel against a described reference into (H, W).

    `response` turns a colour difference into 0..1: the exponent that is applied first, the elbow of
    two straight lines, the slope below, the value there, and the slope above.
    """
    ring, lines, sums, down, across = _scratch(source.shape[1], filters)
    row = np.empty(reference.shape[1:], f)
    for y in range(source.shape[0]):
        _describe_row(source, y, linear, matrices, filters, ring, lines, sums, down, across, row)
        _differ(reference[y], row, response, out[y])
