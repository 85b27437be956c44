from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from protocol.frames import PixelFormat, Size
from protocol.messages import Frame, Outcome
from upscaler.contract import Upscaler
from upscaler.filters.library import make_filter
from upscaler.service.lanes import Lane
from upscaler.service.pixels import InlinePixels, Result
from upscaler.service.worker import Job, Rescue, Worker

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


def run(*jobs: Job) -> list[Job]:
    done = threading.Semaphore(0)
    worker = Worker(done.release)
    worker.start()
    for each in jobs:
        worker.submit(each)
    for _ in jobs:
        assert done.acquire(timeout=30)
    worker.stop()
    return list(worker.finished)


def test_jobs_are_upscaled_in_order_with_their_times() -> None:
    finished = run(job(1), job(2))
    assert [each.frame.frame_id for each in finished] == [1, 2]
    for each in finished:
        assert each.error is None
        assert each.outcome is Outcome.UPSCALED
        assert 0 < each.started_ns < each.finished_ns
        assert np.all(each.result.pixels == each.frame.frame_id)
        assert each.lane.estimate.ns > 0


def test_an_error_ends_one_job_only() -> None:
    broken = job(1, source=np.zeros((1, 1, 3), np.uint8))
    finished = run(broken, job(2))
    assert finished[0].error is not None
    assert finished[1].error is None


def test_padded_rows_are_accepted() -> None:
    rows = np.arange(4 * 32, dtype=np.uint8).reshape(4, 32)
    padded = rows[:, :24].reshape(4, 8, 3)
    (finished,) = run(job(1, source=padded))
    assert np.array_equal(finished.result.pixels[::2, ::2], padded)


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
    (finished,) = run(job(1, lane=lane, deadline_ns=soon(), rescue=Rescue(lane=fallback)))
    assert finished.outcome is Outcome.FALLBACK
    assert np.all(finished.result.pixels == 1)
    assert fallback.estimate.ns > 0
    assert lane.estimate.ns < before  # it will be tried again


def test_a_frame_that_would_be_late_is_dropped_if_that_was_asked_for() -> None:
    (finished,) = run(job(1, lane=slow_lane(), deadline_ns=soon(), rescue=Rescue(lane=None)))
    assert finished.outcome is Outcome.DROPPED
    assert (finished.started_ns, finished.finished_ns) == (0, 0)
    assert np.all(finished.result.pixels == 0)


def test_without_being_asked_nothing_is_degraded() -> None:
    (finished,) = run(job(1, lane=slow_lane(), deadline_ns=soon()))
    assert finished.outcome is Outcome.UPSCALED
    (unhurried,) = run(job(1, lane=slow_lane(), rescue=Rescue(lane=None)))
    assert unhurried.outcome is Outcome.UPSCALED


class Held:
    """An upscaler that waits to be let go."""

    def __init__(self) -> None:
        self.started, self.let_go = threading.Event(), threading.Event()
        self._upscaler = nearest()

    def __call__(self, src: np.ndarray, dst: np.ndarray) -> None:
        self.started.set()
        assert self.let_go.wait(30)
        self._upscaler(src, dst)


def while_the_first_runs(submit: Callable[[Worker], int]) -> list[Job]:
    """Submit more while job 0 is being upscaled; `submit` returns how many of them will run."""
    held, done = Held(), threading.Semaphore(0)
    worker = Worker(done.release)
    worker.start()
    worker.submit(job(0, lane=Lane(held)))  # type: ignore[arg-type]
    assert held.started.wait(30)
    count = submit(worker)
    held.let_go.set()
    for _ in range(1 + count):
        assert done.acquire(timeout=30)
    worker.stop()
    return list(worker.finished)[1:]


def test_the_latest_replaces_what_waits_and_not_what_runs() -> None:
    replaced: list[list[Job]] = []

    def submit(worker: Worker) -> int:
        replaced.extend(worker.submit(job(number, latest=True)) for number in (1, 2, 3))
        return 1

    finished = while_the_first_runs(submit)
    assert [[each.frame.frame_id for each in jobs] for jobs in replaced] == [[], [1], [2]]
    assert [each.frame.frame_id for each in finished] == [3]


def test_a_client_that_floods_delays_another_by_one_frame() -> None:
    def submit(worker: Worker) -> int:
        for number in range(1, 6):
            worker.submit(job(number, peer=b"flood"))
        worker.submit(job(9, peer=b"other"))
        return 6

    finished = while_the_first_runs(submit)
    assert [each.frame.frame_id for each in finished][:2] == [1, 9]


def test_a_lane_is_read_when_a_frame_starts() -> None:
    """So that a model can be replaced while frames wait."""
    lane = Lane(nearest())

    def submit(worker: Worker) -> int:
        worker.submit(job(1, lane=lane))
        lane.upscaler = make_filter("bicubic", SIZE, UPSCALED, PixelFormat.RGB8)
        return 1

    (finished,) = while_the_first_runs(submit)
    assert finished.lane.upscaler.name == "bicubic"
    assert finished.error is None


class Stubborn:
    name = "stubborn"

    def close(self) -> None:
        raise RuntimeError


def test_an_upscaler_that_cannot_be_closed_ends_nothing() -> None:
    done = threading.Semaphore(0)
    worker = Worker(done.release)
    worker.start()
    worker.close_later(Stubborn())  # type: ignore[arg-type]
    worker.submit(job(1))
    assert done.acquire(timeout=30)
    worker.stop()
