from __future__ import annotations

import time

import pytest

from protocol.messages import Outcome
from upscaler.timings import RECENT, STAGES, TOTAL, Counter, Timing

MS = 1_000_000


def timing(at_ns: int, *, arrived: bool = True, deadline_ns: int = 0) -> Timing:
    return Timing(
        submitted_ns=at_ns,
        received_ns=at_ns + 1 * MS,
        started_ns=at_ns + 3 * MS,
        finished_ns=at_ns + 7 * MS,
        returned_ns=at_ns + 15 * MS,
        arrived_ns=at_ns + 31 * MS if arrived else 0,
        deadline_ns=deadline_ns,
    )


def test_stages_add_up() -> None:
    one = timing(5)
    assert (one.total_ms, one.upscaling_ms, one.overhead_ms) == (31, 4, 27)
    counter = Counter()
    counter.add(one, Outcome.UPSCALED)
    stages = counter.statistics().stages
    assert [stages[stage].p50_ms for stage in (*STAGES, TOTAL)] == [1, 2, 4, 8, 16, 31]


def test_a_service_does_not_know_when_results_arrive() -> None:
    counter = Counter()
    counter.add(timing(5, arrived=False), Outcome.UPSCALED)
    stages = counter.statistics().stages
    assert list(stages) == [*STAGES[:-1], TOTAL]
    assert stages[TOTAL].p50_ms == 15


def test_outcomes_are_counted_apart() -> None:
    counter = Counter()
    counter.add(timing(5), Outcome.UPSCALED)
    counter.add(timing(5, deadline_ns=5 + 7 * MS), Outcome.UPSCALED)
    counter.add(timing(5, deadline_ns=4 + 7 * MS), Outcome.FALLBACK)
    counter.add(Timing(**dict.fromkeys(Timing.__struct_fields__, 0)), Outcome.DROPPED)
    told = counter.statistics()
    assert (told.frames, told.fallbacks, told.dropped, told.missed) == (3, 1, 1, 1)


def test_without_a_frame_there_is_nothing_to_tell() -> None:
    told = Counter().statistics()
    assert (told.frames, told.fps, told.stages) == (0, 0.0, {})


def test_recent_frames_count_and_old_ones_do_not() -> None:
    counter = Counter()
    now = time.perf_counter_ns()
    for frame in range(3 * RECENT):
        counter.add(timing(now - (3 * RECENT - frame) * 10 * MS), Outcome.UPSCALED)
    told = counter.statistics()
    assert told.frames == 3 * RECENT
    assert told.stages[TOTAL].count == RECENT
    assert told.fps == pytest.approx(100)
    still = Counter()
    for second in (0, 1):
        still.add(timing(now - (100 - second) * 1000 * MS), Outcome.UPSCALED)
    assert still.statistics().fps == 0
