from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscaler.metrics.bootstrap import bootstrap_mean, paired_differences

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=30)


@given(values=VALUES)
def test_the_mean_lies_inside_and_the_values_outside(values: list[float]) -> None:
    interval = bootstrap_mean(values, resamples=500)
    slack = 1e-9
    assert interval.mean == pytest.approx(np.mean(values))
    assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack


@given(values=VALUES, shift=st.integers(-50, 50))
def test_moves_with_the_values(values: list[float], shift: int) -> None:
    here, there = (bootstrap_mean(np.add(values, by), resamples=200) for by in (0, shift))
    assert there.low == pytest.approx(here.low + shift, abs=1e-9)
    assert there.high == pytest.approx(here.high + shift, abs=1e-9)


def test_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(4).normal(30, 2, 400)
    interval = bootstrap_mean(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.high - interval.mean == pytest.approx(half, rel=0.05)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.05)


def test_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    intervals = [bootstrap_mean(random.normal(0, 1, 50), resamples=400) for _ in range(300)]
    assert 0.88 < np.mean([each.low <= 0 <= each.high for each in intervals]) < 0.98


def test_a_higher_level_is_wider() -> None:
    values = list(range(20))
    narrow, wide = (bootstrap_mean(values, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_seed_reproduces_it() -> None:
    values = np.random.default_rng(8).normal(30, 3, 25)
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert bootstrap_mean(values) != bootstrap_mean(values, seed=2)


def test_many_frames_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(0, 1, 100)
    whole = bootstrap_mean(values, resamples=300)
    monkeypatch.setattr("upscaler.metrics.bootstrap.DRAWN_TOGETHER", 700)
    assert bootstrap_mean(values, resamples=300) == whole


def test_one_frame_says_nothing_about_others() -> None:
    interval = bootstrap_mean([31.0])
    assert (interval.mean, interval.low, interval.high) == (31.0, -inf, inf)


def test_an_infinite_psnr_is_a_value() -> None:
    interval = bootstrap_mean([30.0, 31.0, inf])
    assert interval.mean == interval.high == inf
    assert 30 <= interval.low < 31


@pytest.mark.parametrize("values", [[], [1.0, nan], [[1.0], [2.0]]])
def test_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="without NaN"):
        bootstrap_mean(values)


@pytest.mark.parametrize(("level", "resamples"), [(0, 10), (1, 10), (0.9, 0)])
def test_refuses_an_impossible_question(level: float, resamples: int) -> None:
    with pytest.raises(ValueError, match=r"a level in 0\.\.1 and resamples"):
        bootstrap_mean([1.0, 2.0], level=level, resamples=resamples)


def test_differences_are_of_the_same_frames() -> None:
    differences = paired_differences([31.0, inf, inf, 30.0], [30.0, inf, 29.0, inf])
    assert differences.tolist() == [1.0, 0.0, inf, -inf]
    with pytest.raises(ValueError, match="2 and 1 values"):
        paired_differences([1.0, 2.0], [1.0])


def test_pairing_sees_a_small_gain_among_very_different_frames() -> None:
    baseline = np.random.default_rng(7).normal(30, 5, 14)
    gain = paired_differences((baseline + 0.3).tolist(), baseline.tolist())
    interval = bootstrap_mean(gain)
    assert 0.29 < interval.low <= interval.high < 0.31
