from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from upscaler.bench.latency.estimate import OPENING_S, Estimate
from upscaler.bench.latency.plan import Plan, make_plan
from upscaler.bench.latency.results import Measured
from upscaler.catalogue import Catalogue

MakeMeasured = Callable[..., Measured]


@pytest.fixture
def plan() -> Plan:
    return make_plan(["540p,1080p"], ["2"], ["fsr1"], Catalogue())


def test_what_is_not_known_takes_its_share(plan: Plan) -> None:
    estimate = Estimate(plan.cases, frames=100, seconds=60, fps=None)
    assert estimate.left_s(done=0, spent_s=0) == 60
    # Half of the frames took 2 s: 2 more, and then the second one with all that is left.
    assert estimate.left_s(done=50, spent_s=2) == 2 + 56


def test_rounds_are_left(plan: Plan, make_measured: MakeMeasured) -> None:
    estimate = Estimate(plan.cases, frames=100, seconds=60, fps=None, rounds=2)
    for target in ("540p", "1080p"):
        estimate.learn(replace(make_measured([10.0] * 50, target=target), took_s=0.5), 1.0)
    assert estimate.left_s(done=0, spent_s=0) == pytest.approx(2 * OPENING_S + 0.125 + 0.5)
    estimate.learn(replace(make_measured([10.0] * 50), took_s=0.5, status="failed"), 2.0)
    assert estimate.left_s(done=0, spent_s=0) == pytest.approx(OPENING_S + 0.125)


def test_a_method_is_known_by_its_pixels(plan: Plan, make_measured: MakeMeasured) -> None:
    estimate = Estimate(plan.cases, frames=100, seconds=60, fps=None)
    seen = replace(make_measured([10.0] * 100, target="540p"), took_s=1.0)
    estimate.learn(seen, 1.5)
    assert estimate.left_s(done=0, spent_s=0) == pytest.approx(OPENING_S + 4)
    estimate.learn(replace(make_measured([40.0] * 100), took_s=4.0), 6.0)
    assert estimate.left_s(done=0, spent_s=0) == 0


def test_no_more_than_the_time_there_is(plan: Plan, make_measured: MakeMeasured) -> None:
    estimate = Estimate(plan.cases, frames=100, seconds=10, fps=None)
    estimate.learn(replace(make_measured([90.0] * 50, target="540p"), took_s=5.0), 7.0)
    assert estimate.left_s(done=0, spent_s=0) == 3
    assert estimate.left_s(done=0, spent_s=9) == 0


def test_a_rate_takes_the_time_it_takes(plan: Plan, make_measured: MakeMeasured) -> None:
    estimate = Estimate(plan.cases, frames=120, seconds=60, fps=60)
    estimate.learn(replace(make_measured([1.0] * 120, target="540p"), took_s=0.2), 2.0)
    assert estimate.left_s(done=0, spent_s=0) == pytest.approx(OPENING_S + 2)
