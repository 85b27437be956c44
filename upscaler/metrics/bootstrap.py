"""How far a mean over frames would move with other frames of the same kind: the bootstrap.

The frames are drawn again with replacement, as many as there are, and the mean is taken; the middle
95 % of many such means is the interval (Efron's percentile method). Two methods are compared on the
same frames, so what is drawn again are their differences frame by frame: frames differ by far more
than methods do, and the difference drops that.

Frames of one scene resemble one another, and steps of one sequence more so. The interval takes them
for independent, so it is too narrow for claims about scenes that were never measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 1
DRAWN_TOGETHER = 4_000_000
"""Values in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and the bounds between which it lies at the level of confidence."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float] | NDArray[np.float64],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Return the mean of `values`, one for each frame, and its percentile bootstrap interval.

    Depends on the values and the seed alone. One frame says nothing about others: its interval is
    -inf to inf. Raises ValueError for no values, NaN, a level outside 0..1 or no resamples.
    """
    given = np.asarray(values, np.float64)
    if given.ndim != 1 or not given.size or np.isnan(given).any():
        msg = f"a bootstrap needs a list of numbers without NaN, not {given!r}"
        raise ValueError(msg)
    if not 0 < level < 1 or resamples < 1:
        msg = f"a bootstrap needs a level in 0..1 and resamples, not {level} and {resamples}"
        raise ValueError(msg)
    mean = float(given.mean())
    if given.size == 1:
        return Interval(mean=mean, low=-inf, high=inf)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    together = max(1, DRAWN_TOGETHER // given.size)
    for start in range(0, resamples, together):
        drawn = means[start : start + together]
        drawn[:] = given[random.integers(given.size, size=(drawn.size, given.size))].mean(axis=1)
    # Bounds that were drawn, not interpolated: an infinite PSNR has no middle to a finite one.
    tail = (1 - level) / 2
    low, high = np.quantile(means, (tail, 1 - tail), method="nearest")
    return Interval(mean=mean, low=float(low), high=float(high))


def paired_differences(values: Sequence[float], baseline: Sequence[float]) -> NDArray[np.float64]:
    """Return `values - baseline` frame by frame; equal values, infinite ones too, differ by 0.

    Raises ValueError when they are not as many.
    """
    ours, theirs = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if ours.shape != theirs.shape:
        msg = f"{ours.size} and {theirs.size} values are not of the same frames"
        raise ValueError(msg)
    return np.subtract(ours, theirs, where=ours != theirs, out=np.zeros_like(ours))
