from __future__ import annotations

import time

import numpy as np

from protocol.frames import PixelFormat, Size
from protocol.messages import Frame, Outcome
from upscaler.contract import Upscaler
from upscaler.filters.library import make_filter
from upscaler.service.jobs import Job, JobQueue, Rescue, upscale
from upscaler.service.lanes import Lane
from upscaler.service.pixels import InlinePixels, Result

SIZE, UPSCALED = Size(8, 4), Size(16, 8)
SHAPE = (8, 16, 3)


def nearest() -> Upscaler:
    return make_filter("nearest", SIZE, UPSCALED, PixelFormat.RGB8)


def job(
    number: int,
    *,
    source: np.ndarray | None = None,
    lane: Lane | None = None,
    peer: bytes = b"peer",
    deadline_ns: int = 0,
    rescue: Rescue | None = None,
    latest: bool = False,
) -> Job:
    return Job(
        peer=peer,
        frame=Frame(
            frame_id=number,
            size=SIZE,
            stride=24,
            pixel_format=PixelFormat.RGB8,
            deadline_ns=deadline_ns,
        ),
        source=np.full((4, 8, 3), number, np.uint8) if source is None else source,
        result=Result(np.zeros(SHAPE, np.uint8)),
        pixels=InlinePixels(SHAPE, limit=1),
        lane=lane or Lane(nearest()),
        received_ns=0,
        rescue=rescue,
        latest=latest,
    )


def test_a_job_is_upscaled_with_its_times() -> None:
    one = job(7)
    upscale(one)
    assert one.error is None
    assert one.outcome is Outcome.UPSCALED
    assert 0 < one.started_ns < one.finished_ns
    assert np.all(one.result.pixels == 7)
    assert one.lane.estimate.ns > 0


def test_an_error_ends_its_job_and_teaches_nothing() -> None:
    broken = job(1, source=np.zeros((1, 1, 3), np.uint8))
    upscale(broken)
    assert broken.error is not None
    assert broken.lane.estimate.ns == 0


def test_padded_rows_are_accepted() -> None:
    rows = np.arange(4 * 32, dtype=np.uint8).reshape(4, 32)
    padded = rows[:, :24].reshape(4, 8, 3)
    one = job(1, source=padded)
    upscale(one)
    assert np.array_equal(one.result.pixels[::2, ::2], padded)


def slow_lane() -> Lane:
    """A lane whose frames are believed to take a second."""
    lane = Lane(nearest())
    lane.estimate.add(1_000_000_000)
    return lane


def soon() -> int:
    return time.perf_counter_ns() + 100_000_000


def test_a_frame_that_would_be_late_goes_to_its_fallback() -> None:
    lane, fallback = slow_lane(), Lane(nearest())
    before = lane.estimate.ns
    one = job(1, lane=lane, deadline_ns=soon(), rescue=Rescue(lane=fallback))
    upscale(one)
    assert one.outcome is Outcome.FALLBACK
    assert np.all(one.result.pixels == 1)
    assert fallback.estimate.ns > 0
    assert lane.estimate.ns < before  # it will be tried again


def test_a_frame_that_would_be_late_is_dropped_if_that_was_asked_for() -> None:
    one = job(1, lane=slow_lane(), deadline_ns=soon(), rescue=Rescue(lane=None))
    upscale(one)
    assert one.outcome is Outcome.DROPPED
    assert (one.started_ns, one.finished_ns) == (0, 0)
    assert np.all(one.result.pixels == 0)


def test_without_being_asked_nothing_is_degraded() -> None:
    for one in (
        job(1, lane=slow_lane(), deadline_ns=soon()),
        job(1, lane=slow_lane(), rescue=Rescue(lane=None)),
    ):
        upscale(one)
        assert one.outcome is Outcome.UPSCALED


def queue() -> tuple[JobQueue, list[Upscaler]]:
    closed: list[Upscaler] = []
    return JobQueue(close=closed.append), closed


def ids(jobs: list[Job]) -> list[int]:
    return [each.frame.frame_id for each in jobs]


def drained(jobs: JobQueue) -> list[int]:
    taken = []
    while (one := jobs.take()) is not None:
        taken.append(one)
        jobs.done()
    return ids(taken)


def test_one_job_runs_at_a_time() -> None:
    jobs, _ = queue()
    for number in (1, 2):
        jobs.add(job(number))
    first = jobs.take()
    assert first is not None
    assert first.frame.frame_id == 1
    assert jobs.take() is None
    jobs.done()
    assert drained(jobs) == [2]
    assert jobs.take() is None


def test_the_latest_replaces_what_waits_and_not_what_runs() -> None:
    jobs, _ = queue()
    jobs.add(job(1, latest=True))
    jobs.take()
    assert [ids(jobs.add(job(number, latest=True))) for number in (2, 3)] == [[], [2]]
    jobs.done()
    assert drained(jobs) == [3]


def test_a_client_that_floods_delays_another_by_one_frame() -> None:
    jobs, _ = queue()
    for number in range(1, 6):
        jobs.add(job(number, peer=b"flood"))
    jobs.take()
    jobs.add(job(9, peer=b"other"))
    jobs.done()
    assert drained(jobs)[:2] == [9, 2]


def test_a_client_that_leaves_takes_what_waits_along() -> None:
    jobs, _ = queue()
    for number, peer in ((1, b"a"), (2, b"b"), (3, b"a")):
        jobs.add(job(number, peer=peer))
    jobs.forget(b"a")
    assert drained(jobs) == [2]


def test_an_upscaler_is_closed_when_no_job_runs() -> None:
    jobs, closed = queue()
    first, second = nearest(), nearest()
    jobs.close_later(first)
    assert closed == [first]
    jobs.add(job(1))
    jobs.take()
    jobs.close_later(second)
    assert closed == [first]
    jobs.done()
    assert closed == [first, second]


def test_a_lane_is_read_when_a_frame_starts() -> None:
    """So that a model can be replaced while frames wait."""
    lane = Lane(nearest())
    one = job(1, lane=lane)
    lane.upscaler = make_filter("bicubic", SIZE, UPSCALED, PixelFormat.RGB8)
    lane.upscaler.name = "read"  # type: ignore[misc]
    before = lane.upscaler
    upscale(one)
    assert one.error is None
    assert lane.upscaler is before
