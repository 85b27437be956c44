"""Where output pixels lie in the input, arranged so that compiled loops need no lookup.

An upscaling filter reads, for each output pixel, the input pixels around its position. Looking them
up by output column keeps a compiler from vectorising. But when upscaling, every input position
has at least one output pixel, and all that share it read the same input pixels. So a row is
computed in passes over the *input* positions: pass 0 computes the first output pixel of every
position, pass 1 the second where there is one, and so on. Each pass reads input rows from left to
right. At 2x, 3x and 4x nothing is computed in vain; at 1.5x a third is, which is still several
times faster. A last loop brings the passes into the order of the output.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """One axis: `side` input pixels to `upscaled` output pixels.

    Input positions run from -1 (an output pixel left of the first input pixel's centre) to
    `side - 1`: `side + 1` of them.
    """

    whole: NDArray[np.intp]
    """(upscaled,): the input pixel at or before each output pixel, from -1."""
    fraction: NDArray[np.float64]
    """(upscaled,): how far behind that input pixel the output pixel lies, 0..1."""
    passes: NDArray[np.float64]
    """(passes, side + 1): `fraction` by pass and input position; 0 where a pass has no pixel."""
    order: NDArray[np.intp]
    """(upscaled,): index of each output pixel in the flattened `passes`."""


def positions(whole: NDArray[np.intp], fraction: NDArray[np.float64], side: int) -> Positions:
    """Arrange output pixels, given by their input pixel (-1 to `side - 1`, rising) and fraction."""
    first = np.searchsorted(whole, whole, side="left")
    turn = np.arange(whole.size) - first
    last = int(turn.max())
    # The picture begins in the middle of a position: its pixels are the last ones there, so that at
    # 2x, 3x and 4x every pass has one fraction.
    begun = whole == whole[0]
    turn[begun] += last - turn[begun].max()
    passes = np.zeros((last + 1, side + 1))
    passes[turn, whole + 1] = fraction
    return Positions(
        whole=whole,
        fraction=fraction,
        passes=passes,
        order=(turn * (side + 1) + whole + 1).astype(np.intp),
    )


def centred(side: int, upscaled: int) -> Positions:
    """Positions with both pictures' corners aligned, at float32's precision as in FsrEasuCon."""
    ratio = np.float32(side) / np.float32(upscaled)
    offset = np.float32(0.5) * ratio - np.float32(0.5)
    position = np.arange(upscaled, dtype=np.float32) * ratio + offset
    whole = np.floor(position)
    fraction = (position - whole).astype(np.float64)
    return positions(whole.astype(np.intp), fraction, side)
