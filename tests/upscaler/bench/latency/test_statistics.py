from __future__ import annotations

import numpy as np
import pytest

from upscaler.bench.latency.statistics import (
    bootstrap_medians,
    doubts,
    share_past,
    summarise,
    unresolved,
)


def test_figures_of_known_frames() -> None:
    summary = summarise([float(each) for each in range(1, 1001)], limits_ms=[990, 16.7])
    assert (summary.count, summary.mean_ms, summary.max_ms) == (1000, 500.5, 1000)
    assert (summary.p50_ms, summary.p90_ms, summary.p95_ms) == (500.5, 900.1, 950.05)
    assert (summary.p99_ms, summary.p999_ms) == (990.01, 999.001)
    assert summary.std_ms == pytest.approx(288.819)
    assert summary.average_fps == pytest.approx(1000 / 500.5, abs=1e-3)
    assert summary.past_16_67 == 0.984
    assert summary.past_8_33 == 0.992
    assert summary.past_budget == {"990": 0.01, "16.7": 0.984}


def test_both_one_percent_lows() -> None:
    # Of CapFrameX's own test: one slow frame is all of the slowest 1 %.
    summary = summarise([10.0, 10.0, 10.0, 10.0, 100.0])
    assert summary.low_integral_fps == 10
    assert summary.low_average_fps == 10
    # 990 frames of 10 ms and 10 of 20: the 99th percentile is 10.1 ms, and ten frames lie beyond.
    # 1 % of all time, 10.1 s, is 101 ms: reached within the sixth frame of 20 ms.
    summary = summarise([10.0] * 990 + [20.0] * 10)
    assert summary.low_average_fps == 50
    assert summary.low_integral_fps == 50
    # 1 % of the frames are slow by ten, but they are 9 % of the time.
    summary = summarise([10.0] * 989 + [100.0] + [50.0] * 10)
    assert summary.low_average_fps == pytest.approx(1000 / (600 / 11), abs=1e-3)
    assert summary.low_integral_fps == 20  # 1 % of 10.49 s is 104.9 ms: 100, and then 50


def test_one_frame_is_enough() -> None:
    summary = summarise([4.0])
    assert (summary.p50_ms, summary.p50_low_ms, summary.p50_high_ms) == (4, 4, 4)
    assert (summary.std_ms, summary.low_integral_fps) == (0, 250)


def test_the_interval_of_a_median_covers_it() -> None:
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        summary = summarise(random.normal(20, 3, 100))
        covered += summary.p50_low_ms <= 20 <= summary.p50_high_ms
    assert covered >= 53  # 95 % of 60 are 57; chance of fewer than 53 is 2 %, and the seed is fixed


def test_blocks_make_the_interval_of_a_wandering_run_wide() -> None:
    wandering = 10 + np.sin(np.arange(400) / 40)
    blocks = bootstrap_medians(wandering)
    shuffled = bootstrap_medians(np.random.default_rng(1).permutation(wandering))
    assert np.ptp(np.quantile(blocks, (0.025, 0.975))) > 2 * np.ptp(
        np.quantile(shuffled, (0.025, 0.975))
    )
    assert np.array_equal(blocks, bootstrap_medians(wandering))


def test_a_limit_itself_is_not_past_it() -> None:
    assert share_past(np.array([16.67, 16.68]), 16.67) == 0.5


def test_percentiles_without_a_frame_beyond_are_unresolved() -> None:
    assert unresolved(9) == ["p90", "p95", "p99", "p99.9"]
    assert unresolved(300) == ["p99.9"]
    assert unresolved(1000) == []


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([10.0] * 100, []),
        ([10.0] * 99, ["too short"]),
        ([10.0] * 60 + [12.0] * 60, ["too noisy", "drifting"]),
        ([10.0, 20.0] * 60, ["too noisy"]),
        ([10.0] * 8, ["too short"]),
    ],
)
def test_doubts_say_why(samples: list[float], words: list[str]) -> None:
    assert [doubt.partition(":")[0] for doubt in doubts(samples, summarise(samples))] == words
