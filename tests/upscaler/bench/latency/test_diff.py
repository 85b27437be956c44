from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace

from protocol.errors import BadRequestError
from upscaler.bench.latency.diff import compare_runs
from upscaler.bench.latency.results import Measured, Run

MakeMeasured = Callable[..., Measured]
MakeRun = Callable[..., Run]


def times(median_ms: float, seed: int, spread: float = 0.02) -> np.ndarray:
    return median_ms * np.random.default_rng(seed).normal(1, spread, 200)


@pytest.mark.parametrize(
    ("after_ms", "verdict"),
    [(10.0, "no difference"), (10.3, "no difference"), (11.0, "slower"), (9.0, "faster")],
)
def test_verdicts(
    make_measured: MakeMeasured, make_run: MakeRun, after_ms: float, verdict: str
) -> None:
    before = make_run(make_measured(times(10, 1)))
    after = make_run(make_measured(times(after_ms, 2)))
    (difference,) = compare_runs(before, after).differences
    assert difference.verdict == verdict
    assert difference.ratio == pytest.approx(after_ms / 10, rel=0.01)
    assert difference.low <= difference.ratio <= difference.high
    assert bool(compare_runs(before, after).slower) == (verdict == "slower")


def test_a_build_against_itself_differs_as_seldom_as_it_says(
    make_measured: MakeMeasured, make_run: MakeRun
) -> None:
    # Three rounds whose medians differ by 10 %, as on a machine that does other things as well.
    random = np.random.default_rng(11)
    wrong = 0
    for _ in range(100):
        taken = [np.repeat(10 * np.exp(random.normal(0, 0.1, 3)), 10) for _ in range(2)]
        runs = [make_run(make_measured(each, rounds=3)) for each in taken]
        (difference,) = compare_runs(*runs, tolerance=0).differences
        wrong += difference.verdict != "no difference"
    assert wrong <= 10  # 5 are to be expected without a tolerance, and 11 or more in 1 % of cases


def test_a_wide_interval_is_no_verdict(make_measured: MakeMeasured, make_run: MakeRun) -> None:
    before = make_run(make_measured(times(10, 1, 0.6)))
    after = make_run(make_measured(times(11, 2, 0.6)))
    (difference,) = compare_runs(before, after).differences
    assert difference.verdict == "no difference"
    assert "warnings in A and B" in difference.notes
    low, high = f"{difference.low - 1:+.0%}", f"{difference.high - 1:+.0%}"
    assert difference.notes[0] == f"cannot exclude {low} to {high}"
    (same,) = compare_runs(before, before, tolerance=0.9).differences
    assert same.notes == ("warnings in A and B",)


def test_without_tolerance_the_interval_alone_decides(
    make_measured: MakeMeasured, make_run: MakeRun
) -> None:
    before, after = (make_run(make_measured(times(at, 3))) for at in (10, 10.3))
    (difference,) = compare_runs(before, after, tolerance=0).differences
    assert difference.verdict == "slower"


def test_what_one_run_has_alone_is_named(make_measured: MakeMeasured, make_run: MakeRun) -> None:
    shared = make_measured([5.0] * 100)
    before = make_run(shared, make_measured([5.0] * 100, target="540p"))
    after = make_run(shared, make_measured([5.0] * 100, target="720p"))
    found = compare_runs(before, after)
    assert (found.only_before, found.only_after) == (("540p/2x/fsr1",), ("720p/2x/fsr1",))


def test_nothing_in_common(make_measured: MakeMeasured, make_run: MakeRun) -> None:
    before = make_run(make_measured([5.0]))
    after = make_run(make_measured([], status="failed"))
    with pytest.raises(BadRequestError, match="no combination in common: 1080p/2x/fsr1 and noth"):
        compare_runs(before, after)


def test_a_tolerance_is_a_share(make_run: MakeRun) -> None:
    with pytest.raises(BadRequestError, match="a tolerance of 5 is no share"):
        compare_runs(make_run(), make_run(), tolerance=5)


def test_other_conditions_are_said(make_measured: MakeMeasured, make_run: MakeRun) -> None:
    measured = make_measured([5.0] * 120)
    before = make_run(measured)
    moved = replace(measured, engine="npu", device="Hexagon", emulated=True, transport="inline")
    after = make_run(
        moved,
        machine=replace(before.machine, cores=8, load_start=[3.0, 1.0, 1.0]),
        settings=replace(before.settings, fps=60.0, mode="open"),
        models=[replace(before.models[0], weights_sha256="cd" * 32)],
        status="interrupted",
        error="interrupted at 1080p",
    )
    found = compare_runs(before, after)
    assert found.differences[0].notes == (
        " on  became npu on Hexagon",
        "emulated: its times mean nothing",
        "device became inline",
    )
    assert found.warnings == (
        "two machines: A processor, 2 cores and A processor, 8 cores",
        "measured differently: mode closed and open",
        "measured differently: fps None and 60.0",
        "other weights: quicksrnet-small 2x",
        "B is interrupted: interrupted at 1080p",
        "B began under a load of 3.00; others made it slower",
    )
