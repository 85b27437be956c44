"""How time grows with pixels: a power law, fitted to medians on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 3
"""Sizes that a curve is fitted to: two would always lie on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """time = `ms_at_1mp` * (pixels / 1 million) ** `exponent`.

    An exponent of 1 means in proportion to pixels; below 1, that something else takes time as well.
    `r_squared` is of the logarithms: 1 where all points lie on the curve.
    """

    ms_at_1mp: float
    exponent: float
    r_squared: float

    def ms_at(self, pixels: float) -> float:
        """Return the time that the curve has at so many pixels."""
        return float(self.ms_at_1mp * (pixels / 1e6) ** self.exponent)


def fit_growth(pixels: Sequence[float], times_ms: Sequence[float]) -> Growth | None:
    """Fit positive times to numbers of pixels; None with fewer than three different sizes."""
    if len(set(pixels)) < FEWEST or min(times_ms) <= 0:
        return None
    x, y = np.log(np.asarray(pixels) / 1e6), np.log(np.asarray(times_ms))
    exponent, offset = np.polyfit(x, y, 1)
    residual = float(np.square(y - (exponent * x + offset)).sum())
    spread = float(np.square(y - y.mean()).sum())
    return Growth(
        ms_at_1mp=float(np.exp(offset)),
        exponent=float(exponent),
        r_squared=1 - residual / spread if spread else 1.0,
    )
