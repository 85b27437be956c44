"""The arithmetic of AMD's shader headers (`ffx_a.h`, names in brackets), in float32, for Numba.

The approximate reciprocals are part of FSR1's result: with exact ones, pixels differ by up to 22
levels. All arithmetic is float32; a stray Python float would make it float64.
"""

from __future__ import annotations

import numpy as np
from llvmlite import binding as llvm
from numba import njit

# LLVM vectorises a loop over arrays only after proving at run time that they do not overlap, and
# by default gives up beyond 8 such tests; the row loops of the filters touch up to 60 arrays.
for option in ("runtime-memory-check-threshold", "vectorize-memory-check-threshold"):
    llvm.set_option("", f"-{option}=1024")

f = np.float32
u = np.uint32
ZERO, HALF, ONE, TWO = f(0), f(0.5), f(1), f(2)
LEVELS = f(255)
_UNIT_HIGH = f(0x8080 / 2**23)
_UNIT_LOW = f(1 / 255 - 0x8080 / 2**23)


@njit(inline="always")
def _bits(a):
    """Bits of a float (AU1_AF1)."""
    return f(a).view(u)


@njit(inline="always")
def _float(a):
    """Float of these bits (AF1_AU1)."""
    return u(a).view(f)


@njit(inline="always")
def prx_lo_rcp(a):
    """Approximate reciprocal (APrxLoRcpF1)."""
    return _float(u(0x7EF07EBB) - _bits(a))


@njit(inline="always")
def prx_lo_rsq(a):
    """Approximate reciprocal square root (APrxLoRsqF1)."""
    return _float(u(0x5F347D74) - (_bits(a) >> u(1)))


@njit(inline="always")
def prx_med_rcp(a):
    """Approximate reciprocal with one Newton step (APrxMedRcpF1)."""
    b = _float(u(0x7EF19FFF) - _bits(a))
    return b * (-b * a + TWO)


@njit(inline="always")
def unit(level):
    """`level / 255` for 0..255, correctly rounded, without a division.

    The first product is exact, since its factor has 16 bits; the second is too small to matter.
    """
    return level * _UNIT_HIGH + level * _UNIT_LOW


@njit(inline="always")
def level(value):
    """Return the level 0..255 of a value in 0..1, as a float; ties to even as a texture does."""
    return np.rint(value * LEVELS)


@njit(inline="always")
def smaller(a, b):
    """Minimum; `b` where one of them is NaN."""
    return min(b, a)


@njit(inline="always")
def larger(a, b):
    """Maximum; `b` where one of them is NaN."""
    return max(b, a)


@njit(inline="always")
def luma(red, green, blue):
    """Twice the luma as FSR1 has it, B / 2 + (R / 2 + G), in 0..2."""
    return blue * HALF + (red * HALF + green)
