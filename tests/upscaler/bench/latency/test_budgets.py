from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import BadRequestError
from upscaler.bench.latency.budgets import (
    METRICS,
    Budget,
    check_budgets,
    judge,
    limits_for,
    parse_budget,
    read_budgets,
)
from upscaler.bench.latency.plan import Plan, make_plan
from upscaler.bench.latency.results import Measured
from upscaler.catalogue import Catalogue

MakeMeasured = Callable[..., Measured]


@pytest.fixture
def plan() -> Plan:
    return make_plan(["540p,1080p"], ["2"], ["fsr1:denoise,nearest"], Catalogue())


@pytest.mark.parametrize(
    ("text", "selector", "metric", "limit"),
    [
        ("1080p:p99=16.7", ("1080p",), "p99", 16.7),
        ("p99.9=33", (), "p99.9", 33),
        ("1080p/2x/fsr1:1%low-average=60", ("1080p", "2x", "fsr1"), "1%low-average", 60),
        ("fsr1:stops=0.5,denoise:max=8", ("fsr1:stops=0.5,denoise",), "max", 8),
    ],
)
def test_texts(text: str, selector: tuple[str, ...], metric: str, limit: float) -> None:
    budget = parse_budget(text)
    assert budget == Budget(selector=selector, metric=metric, limit=limit)
    assert budget.text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no budget; write it as TARGET:METRIC=LIMIT"),
        ("1080p", "is no budget"),
        ("1080p:p99=", "is no budget"),
        ("1080p:p98=16", "unknown metric 'p98'; choose p50, p90"),
        ("1080p:p99=fast", "the limit 'fast' is no number above 0"),
        ("1080p:p99=nan", "is no number above 0"),
        ("1080p:p99=-1", "is no number above 0"),
        ("1080p:p99=0", "is no number above 0"),
    ],
)
def test_texts_that_are_none(text: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        parse_budget(text)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text('[1080p]\np99 = 16.7\n["1080p/2x/fsr1"]\np50 = 8\n"1%low-average" = 60\n')
    texts = [budget.text for budget in read_budgets([str(path), "540p:p50=4"])]
    assert texts == [
        "1080p:p99=16.7",
        "1080p/2x/fsr1:p50=8",
        "1080p/2x/fsr1:1%low-average=60",
        "540p:p50=4",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[1080p", "is no TOML"),
        (b"\xff", "is no TOML"),
        (b"p99 = 3", "'p99' stands outside a table"),
        (b"", "holds no budget"),
        (b"[1080p]", "holds no budget"),
        (b"[1080p]\np99 = true", "the limit True is no number"),
        (b"[1080p]\np99 = []", "is no number above 0"),
        (b"[1080p]\nspeed = 1", "unknown metric 'speed'"),
    ],
)
def test_files_that_are_none(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_bytes(content)
    with pytest.raises(BadRequestError, match=words) as caught:
        read_budgets([str(path)])
    assert str(path) in str(caught.value)


def test_a_file_that_is_missing() -> None:
    with pytest.raises(BadRequestError, match=r"cannot read none\.toml: No such file"):
        read_budgets(["none.toml"])


def test_a_budget_must_name_something(plan: Plan) -> None:
    named = ["1080p", "1920x1080", "2x", "fsr1", "fsr1:denoise", "540p/nearest"]
    check_budgets([parse_budget(f"{each}:p50=1") for each in named], plan.cases)
    with pytest.raises(BadRequestError, match=r"budget 720p:p50=1 names nothing that is measured"):
        check_budgets([parse_budget("720p:p50=1")], plan.cases)
    with pytest.raises(BadRequestError, match="names nothing"):
        check_budgets([parse_budget("1080p/540p:p50=1")], plan.cases)


def test_limits_in_ms_of_a_combination(plan: Plan) -> None:
    texts = ["p99=20", "1080p:p50=4", "540p:p50=2", "fps=60", "1080p:max=20"]
    budgets = [parse_budget(text) for text in texts]
    by_key = {case.key: limits_for(budgets, case) for case in plan.cases}
    assert by_key["1080p/2x/nearest"] == [4, 20]
    assert by_key["540p/2x/nearest"] == [2, 20]


def test_verdicts(plan: Plan, make_measured: MakeMeasured) -> None:
    measured = [
        make_measured([10.0] * 200, method="nearest"),
        make_measured([5.0] * 50, method="nearest", target="540p"),
        make_measured([5.0] * 200, method="fsr1:denoise", status="failed"),
    ]
    budgets = [parse_budget(text) for text in ("p99=10", "1080p/nearest:fps=101", "540p:p99=1")]
    lines = {(each.budget, each.key): each for each in judge(budgets, plan.cases, measured)}
    assert [each.kept for each in lines.values()] == [
        False,  # 540p/2x/fsr1:denoise was not measured
        True,
        False,  # 1080p/2x/fsr1:denoise broke off
        True,  # a limit itself is kept
        False,  # 100 fps
        False,
        False,
    ]
    assert (
        lines["p99=10", "540p/2x/fsr1:denoise"].line
        == "540p/2x/fsr1:denoise: p99 was not measured, at most 10 ms is asked for"
    )
    assert lines["p99=10", "1080p/2x/fsr1:denoise"].line.endswith("(failed after 200 frames)")
    assert (
        lines["1080p/nearest:fps=101", "1080p/2x/nearest"].line
        == "1080p/2x/nearest: fps is 100.000 fps, at least 101 fps is asked for"
    )
    assert lines["540p:p99=1", "540p/2x/nearest"].line.endswith("(of 50 frames, too few for p99)")


def test_emulated_times_keep_no_budget(plan: Plan, make_measured: MakeMeasured) -> None:
    from msgspec.structs import replace

    measured = replace(make_measured([1.0] * 200, method="nearest"), emulated=True)
    (verdict,) = judge([parse_budget("1080p/nearest:p99=10")], plan.cases, [measured])
    assert not verdict.kept
    assert verdict.line.endswith("(emulated: its times mean nothing)")


def test_every_metric_is_there(plan: Plan, make_measured: MakeMeasured) -> None:
    measured = [make_measured([5.0] * 200, method="nearest")]
    budgets = [parse_budget(f"1080p/nearest:{metric}=200") for metric in METRICS]
    values = [verdict.value for verdict in judge(budgets, plan.cases, measured)]
    assert values == [5.0] * 7 + [200.0] * 3
