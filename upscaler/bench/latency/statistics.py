"""From times of frames to figures, and the rules by which a run is too short or too noisy.

Percentiles interpolate linearly between frames (`upscaler.latency`). "1% low" has two meanings in
tools, and both are here by the names and definitions of CapFrameX: the *average* is of all frames
at or above the 99th percentile; the *integral* is the frame time that is reached when the slowest
frames are added up to 1 % of the whole time. Both are given in frames per second.

The interval of the median is made of the medians of batches (Schmeiser 1982): Student's t of their
logarithms. A batch is a round, that is frames which were taken together, with other combinations
before and after. Frames of one batch resemble one another, by what the machine was doing in that
second, so their number is no evidence: what differs between rounds is. With fewer than three rounds
each is cut into consecutive pieces, which know less of it.

Where frames take one of two times, rounds may agree by chance. So the interval is never narrower
than the one that holds for frames which do not resemble one another (order statistics).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from upscaler.latency import percentiles
from upscaler.metrics.bootstrap import LEVEL

BATCHES = 6
"""Batches that are made of fewer than `FEWEST_ROUNDS` rounds."""
FEWEST_ROUNDS = 3
PAST_60_MS, PAST_120_MS = 16.67, 8.33
"""Frame times of 60 and 120 frames a second, as they are usually quoted."""
SHORT_FRAMES = 100
"""Fewer frames have none beyond their 99th percentile."""
NOISY_WIDTH = 0.10
"""An interval of the median that is wider than this part of it says too little."""
DRIFT = 0.10
"""The second half of a run may differ from the first by so much, median against median."""
FEWEST_HALF = 10
"""Frames of a half that a drift can be seen in."""
RULES = (
    f"too short: fewer than {SHORT_FRAMES} frames",
    f"too noisy: the 95 % interval of the median is wider than {NOISY_WIDTH:.0%} of the median",
    f"drifting: the medians of the two halves of a run are more than {DRIFT:.0%} apart",
    "a percentile is marked ~ when fewer than one frame lies beyond it",
)

Samples = Sequence[float] | NDArray[np.float64]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one combination. Milliseconds, frames per second, and shares from 0 to 1."""

    count: int
    mean_ms: float
    std_ms: float
    """Of the sample (n - 1); 0 for a single frame."""
    p50_ms: float
    p50_low_ms: float
    """Bounds of the 95 % interval of the median."""
    p50_high_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    average_fps: float
    """1000 / mean."""
    low_average_fps: float
    """1 % low average: 1000 / the mean of the frames at or above the 99th percentile."""
    low_integral_fps: float
    """1 % low integral: 1000 / the time that the slowest frames, added up to 1 %, come down to."""
    past_16_67: float
    """Share of frames that took longer than 16.67 ms."""
    past_8_33: float
    past_budget: dict[str, float] = {}
    """Share past each limit in ms that a budget sets, by the limit as text."""


def summarise(
    samples_ms: Samples, *, limits_ms: Sequence[float] = (), rounds: Sequence[int] = ()
) -> Summary:
    """Return the figures of frames that took `samples_ms`, in the order they came; at least one.

    `rounds` are the numbers of frames that were taken together; empty where all were.
    """
    samples = np.asarray(samples_ms, np.float64)
    known = percentiles(samples.tolist())
    median, factor = np.median(samples), median_error(samples, rounds).factor
    # A single frame says nothing of others, and a JSON file holds no infinity.
    low, high = (median / factor, median * factor) if math.isfinite(factor) else (median, median)
    worst = samples[samples >= np.percentile(samples, 99)]
    return Summary(
        count=known.count,
        mean_ms=known.mean_ms,
        std_ms=_rounded(samples.std(ddof=1)) if len(samples) > 1 else 0.0,
        p50_ms=known.p50_ms,
        p50_low_ms=_rounded(low),
        p50_high_ms=_rounded(high),
        p90_ms=known.p90_ms,
        p95_ms=known.p95_ms,
        p99_ms=known.p99_ms,
        p999_ms=_rounded(np.percentile(samples, 99.9)),
        max_ms=known.max_ms,
        average_fps=_rounded(1000 / samples.mean()),
        low_average_fps=_rounded(1000 / worst.mean()),
        low_integral_fps=_rounded(1000 / _integral_ms(samples)),
        past_16_67=share_past(samples, PAST_60_MS),
        past_8_33=share_past(samples, PAST_120_MS),
        past_budget={f"{limit:g}": share_past(samples, limit) for limit in limits_ms},
    )


def share_past(samples: NDArray[np.float64], limit_ms: float) -> float:
    """Return the share of frames, 0 to 1, that took longer than `limit_ms`."""
    return round(float((samples > limit_ms).mean()), 5)


def _integral_ms(samples: NDArray[np.float64]) -> float:
    slowest = np.sort(samples)[::-1]
    reached = int(np.searchsorted(slowest.cumsum(), 0.01 * slowest.sum()))
    return float(slowest[min(reached, len(slowest) - 1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianError:
    """How far a median is to be trusted: the variance of its logarithm, and degrees of freedom."""

    variance: float
    freedom: float

    @property
    def factor(self) -> float:
        """The median divided and multiplied by this are the bounds of its interval."""
        if math.isinf(self.variance):
            return math.inf
        return math.exp(student(self.freedom) * math.sqrt(self.variance))

    def __add__(self, other: MedianError) -> MedianError:
        """Return the error of the ratio of two medians (Welch 1947)."""
        variance = self.variance + other.variance
        if not variance or math.isinf(variance):
            return MedianError(variance=variance, freedom=1)
        parts = [(each.variance / variance) ** 2 / each.freedom for each in (self, other)]
        return MedianError(variance=variance, freedom=1 / sum(parts))


def median_error(samples_ms: Samples, rounds: Sequence[int] = ()) -> MedianError:
    """Return the error of the median of frames, in the order they came; infinite for one frame."""
    samples = np.maximum(np.asarray(samples_ms, np.float64), 1e-6)
    taken = np.split(samples, np.cumsum(rounds)[:-1]) if len(rounds) > 1 else [samples]
    if len(taken) < FEWEST_ROUNDS:
        pieces = BATCHES // len(taken)
        taken = [part for each in taken for part in np.array_split(each, pieces)]
    logs = np.array([math.log(np.median(batch)) for batch in taken if len(batch)])
    if len(logs) < 2:
        return MedianError(variance=math.inf, freedom=1)
    between = float(logs.var(ddof=1)) / len(logs)
    return MedianError(variance=max(between, _least_variance(samples)), freedom=len(logs) - 1)


def _least_variance(samples: NDArray[np.float64]) -> float:
    """Of the logarithm of the median, if every frame were drawn by itself."""
    deviations = 2
    middle, half = (len(samples) - 1) / 2, deviations * math.sqrt(len(samples)) / 2
    ends = max(0, math.floor(middle - half)), min(len(samples) - 1, math.ceil(middle + half))
    low, high = np.partition(samples, ends)[list(ends)]
    return (math.log(high / low) / (2 * deviations)) ** 2


@cache
def student(freedom: float) -> float:
    """Return the bound of the middle 95 % of Student's t with so many degrees of freedom."""
    # With x = sqrt(freedom) * tan(angle) the density is a power of the cosine.
    angles = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    area = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(freedom) * math.tan(float(np.interp(LEVEL, area / area[-1], angles)))


def unresolved(count: int) -> list[str]:
    """Return the percentiles that `count` frames are too few for: less than one lies beyond."""
    tails = {"p90": 10, "p95": 20, "p99": 100, "p99.9": 1000}
    return [name for name, needed in tails.items() if count < needed]


def doubts(samples_ms: Samples, summary: Summary) -> list[str]:
    """Return why the figures cannot be trusted, each a sentence; see `RULES`."""
    samples = np.asarray(samples_ms, np.float64)
    found = []
    if summary.count < SHORT_FRAMES:
        found.append(f"too short: {summary.count} frames, and {SHORT_FRAMES} are needed")
    width = (summary.p50_high_ms - summary.p50_low_ms) / summary.p50_ms if summary.p50_ms else 0.0
    if width > NOISY_WIDTH:
        found.append(
            f"too noisy: the median lies between {summary.p50_low_ms:.2f} and "
            f"{summary.p50_high_ms:.2f} ms, {width:.0%} of it"
        )
    half = len(samples) // 2
    if half >= FEWEST_HALF:
        first, second = np.median(samples[:half]), np.median(samples[half:])
        if first > 0 and abs(second / first - 1) > DRIFT:
            found.append(f"drifting: the first half took {first:.2f} ms, the second {second:.2f}")
    return found


def _rounded(value: float) -> float:
    return round(float(value), 3)
