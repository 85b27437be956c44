from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from upscaler.bench.latency.statistics import (
    doubts,
    median_error,
    share_past,
    student,
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


def test_student_is_that_of_the_tables() -> None:
    known = {1: 12.706, 2: 4.303, 5: 2.571, 10: 2.228, 30: 2.042}
    for freedom, bound in known.items():
        assert student(freedom) == pytest.approx(bound, abs=1e-3)


def series(random: np.random.Generator, memory: float, rounds: int, wander: float) -> np.ndarray:
    """300 frames of about 10 ms: each resembles the one before, and rounds differ by `wander`."""
    frames = 300 // rounds
    noise = random.normal(0, 0.03, (frames, rounds))
    for before, now in pairwise(noise):
        now[:] = memory * before + np.sqrt(1 - memory**2) * now
    return 10 * np.exp(noise + random.normal(0, wander, rounds)).T.ravel()


@pytest.mark.parametrize(
    ("memory", "rounds", "wander"),
    [(0.0, 1, 0.0), (0.8, 1, 0.0), (0.0, 3, 0.05), (0.97, 3, 0.05), (0.8, 5, 0.3)],
)
def test_the_interval_covers_the_median_of_frames_that_resemble_one_another(
    memory: float, rounds: int, wander: float
) -> None:
    random = np.random.default_rng(5)
    sizes = [300 // rounds] * rounds
    covered = 0
    for _ in range(200):
        summary = summarise(series(random, memory, rounds, wander), rounds=sizes)
        covered += summary.p50_low_ms <= 10 <= summary.p50_high_ms
    assert covered >= 182  # 190 are to be expected, and 182 or fewer in one case of 100


def test_what_differs_between_rounds_counts_and_their_length_does_not() -> None:
    rounds = np.array([10.0, 11.0, 12.0])
    short, long = (median_error(np.repeat(rounds, each), [each] * 3) for each in (5, 500))
    assert short == long
    assert short.freedom == 2
    assert short.factor > 1.2
    assert median_error([10.0] * 30, [10] * 3).factor == 1
    assert np.isinf(median_error([10.0]).factor)


@pytest.mark.parametrize(("fast", "certain"), [(51, False), (70, True)])
def test_rounds_that_may_agree_by_chance(fast: int, *, certain: bool) -> None:
    # A frame takes 10 or 20 ms, as with a screen that waits for its refresh; all medians are 10.
    frames = ([10.0] * fast + [20.0] * (100 - fast)) * 3
    assert (median_error(frames, [100] * 3).factor == 1) == certain


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
