from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from upscaler.bench.latency.collect import describe, frame_times
from upscaler.bench.latency.loops import Shot
from upscaler.bench.latency.plan import Case

MakeShots = Callable[..., list[Shot]]


def test_the_parts_of_a_frame_add_up(make_shots: MakeShots) -> None:
    times = frame_times(make_shots([5.0, 7.5], late_ms=0.5))
    assert times.at_ms == [0.0, 20.0]
    assert times.total_ms == [5.0, 7.5]
    assert times.late_ms == [0.5, 0.5]
    assert times.sent_ms == [0.1, 0.1]
    assert times.waited_ms == [0.2, 0.2]
    assert times.upscaled_ms == [4.0, 6.5]
    assert times.returned_ms == times.arrived_ms == [0.1, 0.1]
    assert times.call_ms == [0.05, 0.05]


def test_rounds_follow_one_another_without_a_gap(case: Case, make_shots: MakeShots) -> None:
    rounds = [make_shots([5.0, 7.5]), make_shots([6.0]), make_shots([50.0, 8.0])]
    rounds[0][1].timing, rounds[0][1].dropped = None, True
    measured = describe(case, *rounds, status="complete")
    # The second begins when another frame would have been sent, the third when it has come.
    assert measured.times.at_ms == [0.0, 40.0, 46.0, 66.0]
    assert measured.times.total_ms == [5.0, 6.0, 50.0, 8.0]
    assert measured.times.dropped_at_ms == [20.0]
    assert measured.times.rounds == [1, 1, 2]


def test_a_pause_between_rounds_is_no_lost_rate(case: Case, make_shots: MakeShots) -> None:
    rounds = [make_shots([30.0] * 50) for _ in range(4)]
    assert describe(case, *rounds, status="complete", fps=50).warnings == []


def test_figures_and_stages(case: Case, make_shots: MakeShots) -> None:
    measured = describe(case, make_shots([5.0] * 200), status="complete", limits_ms=[4])
    assert measured.key == "1080p/2x/fsr1"
    assert measured.summary is not None
    assert (measured.summary.p50_ms, measured.summary.past_budget) == (5.0, {"4": 1.0})
    assert list(measured.stages) == ["sent", "waited", "upscaled", "returned", "arrived", "total"]
    assert measured.stages["upscaled"].p50_ms == pytest.approx(4.5)
    assert measured.harness is not None
    assert measured.harness.p50_ms == 0.02
    assert (measured.unresolved, measured.warnings) == (["p99.9"], [])


def test_frames_that_were_dropped_are_counted_apart(case: Case, make_shots: MakeShots) -> None:
    shots = make_shots([5.0] * 150)
    shots[1].timing, shots[1].dropped = None, True
    measured = describe(case, shots, status="complete", fps=50)
    assert (measured.dropped, measured.times.dropped_at_ms) == (1, [20.0])
    assert measured.summary is not None
    assert measured.summary.count == 149
    assert measured.warnings == ["1 frames (1%) were dropped and have no latency"]


def test_no_frame_is_no_error(case: Case) -> None:
    measured = describe(case, [], status="failed", error="it broke")
    assert measured.summary is None
    assert (measured.warnings, measured.times.total_ms) == (["no frame came back"], [])
    assert (measured.status, measured.error) == ("failed", "it broke")


@pytest.mark.parametrize(
    ("fps", "late_ms", "words"),
    [
        (50, 0.0, []),
        (50, 0.9, []),
        (50, 1.1, ["late: frames were submitted 1.10 ms behind the schedule at p99"]),
        (60, 0.0, ["saturated: 50.0 frames a second came back of the 60"]),
        (None, 0.0, []),
    ],
)
def test_the_pace_of_an_open_loop(
    case: Case, make_shots: MakeShots, fps: float | None, late_ms: float, words: list[str]
) -> None:
    shots = make_shots(np.full(200, 5.0), late_ms=late_ms)
    measured = describe(case, shots, status="complete", fps=fps)
    assert len(measured.warnings) == len(words)
    for warning, word in zip(measured.warnings, words, strict=True):
        assert warning.startswith(word)
