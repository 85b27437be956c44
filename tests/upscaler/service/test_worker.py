from __future__ import annotations

import threading

import numpy as np

from protocol.frames import PixelFormat, Size
from protocol.messages import Frame
from upscaler.filters.library import make_filter
from upscaler.service.worker import Job, ResultPool, Worker
from upscaler.transport import Delivery

SIZE, UPSCALED = Size(8, 4), Size(16, 8)


class Pending(Delivery):
    done = False


def job(number: int, *, source: np.ndarray | None = None) -> Job:
    pool = ResultPool((8, 16, 3), limit=1)
    result = pool.take()
    assert result is not None
    nearest = make_filter("nearest", SIZE, UPSCALED, PixelFormat.RGB8)
    return Job(
        peer=b"peer",
        frame=Frame(frame_id=number, size=SIZE, stride=24, pixel_format=PixelFormat.RGB8),
        source=np.full((4, 8, 3), number, np.uint8) if source is None else source,
        result=result,
        results=pool,
        upscaler=nearest,
        received_ns=0,
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
        assert 0 < each.started_ns < each.finished_ns
        assert np.all(each.result.pixels == each.frame.frame_id)


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


def test_a_result_buffer_is_not_reused_while_it_is_being_sent() -> None:
    pool = ResultPool((2, 2, 3), limit=2)
    first = pool.take()
    assert first is not None
    pool.give_back(first, Pending())
    second = pool.take()
    assert second is not None
    assert second is not first
    pool.give_back(second, Delivery())
    assert pool.take() is second
    assert pool.take() is None
    first.delivery = Delivery()
    assert pool.take() is first


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
