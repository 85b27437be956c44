"""Latency in percentiles."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of a latency in milliseconds, by linear interpolation between samples."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def percentiles(samples_ms: Sequence[float]) -> Percentiles:
    """Summarise latencies in milliseconds; at least one sample."""
    samples = np.asarray(samples_ms, np.float64)
    p50, p90, p95, p99 = np.percentile(samples, (50, 90, 95, 99)).round(3).tolist()
    return Percentiles(
        count=len(samples),
        mean_ms=round(float(samples.mean()), 3),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=round(float(samples.max()), 3),
    )
