from __future__ import annotations

from fractions import Fraction

import pytest

from protocol.errors import BadRequestError
from protocol.frames import Size
from upscaler.bench.latency.plan import (
    DEFAULT_METHODS,
    DEFAULT_SCALES,
    PAPER_MS,
    TARGETS,
    make_plan,
    parse_methods,
    parse_targets,
)
from upscaler.catalogue import Catalogue


def test_targets_are_sizes_of_results() -> None:
    plan = make_plan(["1080p,2560X1080"], ["2"], ["nearest"], Catalogue())
    assert [(case.key, case.input, case.output) for case in plan.cases] == [
        ("1080p/2x/nearest", Size(960, 540), Size(1920, 1080)),
        ("2560x1080/2x/nearest", Size(1280, 540), Size(2560, 1080)),
    ]


def test_the_paper_has_every_default_target() -> None:
    assert list(PAPER_MS) == list(TARGETS)


def test_a_target_has_one_name() -> None:
    assert parse_targets(["1080p, 1920x1080", "540P"]) == [
        ("1080p", Size(1920, 1080)),
        ("540p", Size(960, 540)),
    ]


def test_impossible_combinations_are_left_out_and_named() -> None:
    plan = make_plan(TARGETS, DEFAULT_SCALES, DEFAULT_METHODS, Catalogue())
    assert len(plan.cases) == 24
    assert sorted({each.key.rpartition("/")[0] for each in plan.left_out}) == [
        "1440p/1.5x",
        "720p/1.5x",
    ]
    assert plan.left_out[0].reason.startswith(
        "720p cannot be made at 1.5x: it would take a frame of 853.3333 x 480 pixels"
    )
    assert {(one.method, one.scale) for one in plan.models} == {
        ("quicksrnet-small", "2"),
        ("quicksrnet-small", "3/2"),
    }
    assert all(len(one.weights_sha256) == 64 for one in plan.models)


def test_cheap_ones_come_first() -> None:
    plan = make_plan(["1080p,540p"], DEFAULT_SCALES, ["quicksrnet-small,nearest"], Catalogue())
    assert [case.key for case in plan.in_order_of_cost] == [
        "540p/2x/nearest",
        "540p/1.5x/nearest",
        "1080p/2x/nearest",
        "1080p/1.5x/nearest",
        "540p/2x/quicksrnet-small",
        "540p/1.5x/quicksrnet-small",
        "1080p/2x/quicksrnet-small",
        "1080p/1.5x/quicksrnet-small",
    ]


def test_options_of_methods_may_hold_commas() -> None:
    known = Catalogue().methods
    texts = ["fsr1:stops=0.5,denoise,bicubic", "nearest, fsr1"]
    assert parse_methods(texts, known) == [
        "fsr1:stops=0.5,denoise",
        "bicubic",
        "nearest",
        "fsr1",
    ]


def test_ratios_that_no_network_has_may_round() -> None:
    (case,) = make_plan(["1080p"], ["1.3"], ["fsr1"], Catalogue()).cases
    assert (case.key, case.input) == ("1080p/1.3x/fsr1", Size(1477, 831))
    assert case.scale == Fraction(13, 10)


@pytest.mark.parametrize(
    ("targets", "scales", "methods", "words"),
    [
        ("1081q", "2", "nearest", "unknown target '1081q'; name results as 540p"),
        ("huge", "2", "nearest", "unknown target 'huge'"),
        ("1x", "2", "nearest", "unknown target '1x'"),
        ("p", "2", "nearest", "unknown target 'p'"),
        ("1000p", "2", "nearest", "no whole width in 16:9"),
        ("0p", "2", "nearest", "has no pixels"),
        ("99999p", "2", "nearest", "too large"),
        ("", "2", "nearest", "no target is given"),
        ("1080p", "", "nearest", "no scale is given"),
        ("1080p", "2", " , ", "no method is given"),
        ("720p", "1.5", "nearest", "720p cannot be made at 1.5x"),
        ("720p,1080p", "1.5", "nearest", "720p cannot be made at 1.5x"),
        ("1081x541", "2", "nearest", "it would take a frame of 540.5 x 270.5 pixels"),
        ("1080p", "1.7", "fsr1", "1080p cannot be made at 1.7x: 1129x635 becomes 1919x1080"),
        ("2x1", "4", "nearest", "cannot be made at 4x"),
        ("1080p", "5", "nearest", "unsupported scale 5"),
        ("1080p", "2", "sharp", "unknown method 'sharp'"),
        ("1080p", "2", "fsr1:sharp", "fsr1 has no option 'sharp'"),
        ("1080p", "2", "quicksrnet-small:x", "has no option 'x'"),
        ("1080p", "1.5", "quicksrnet-medium", "quicksrnet-medium has no model for 1.5x"),
        ("1080p", "3", "nis", "nis does not reach 3x"),
    ],
)
def test_bad_requests(targets: str, scales: str, methods: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words.replace("(", r"\(")):
        make_plan([targets], [scales], [methods], Catalogue())
