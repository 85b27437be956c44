from __future__ import annotations

from upscaler.latency import percentiles


def test_percentiles() -> None:
    summary = percentiles([float(each) for each in range(101)])
    assert (summary.count, summary.mean_ms, summary.max_ms) == (101, 50.0, 100.0)
    assert (summary.p50_ms, summary.p90_ms, summary.p95_ms, summary.p99_ms) == (50, 90, 95, 99)


def test_one_sample_is_enough() -> None:
    assert percentiles([3.0]).p99_ms == 3.0
