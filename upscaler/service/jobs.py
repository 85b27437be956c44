"""Frames on their way: what is waiting, what runs, and what becomes of one that would be late."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from protocol.messages import Frame, Outcome
from upscaler.contract import Frame as Pixels
from upscaler.contract import Upscaler
from upscaler.service.lanes import Lane
from upscaler.service.pixels import ClientPixels, Result
from upscaler.service.schedule import RoundRobin


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What happens to a frame that would be late: another lane takes it, or it is dropped."""

    lane: Lane | None


class Job(msgspec.Struct, eq=False, kw_only=True):
    """One frame on its way. `source` is where it lies, `result` where it goes; times in ns.

    `pixels` is the session's; it tells one session of a peer from the next. `rescue` is None for
    frames that are upscaled however late they are.
    """

    peer: bytes
    frame: Frame
    source: Pixels
    result: Result
    pixels: ClientPixels
    lane: Lane
    received_ns: int
    latest: bool = False
    rescue: Rescue | None = None
    started_ns: int = 0
    finished_ns: int = 0
    outcome: Outcome = Outcome.UPSCALED
    error: Exception | None = None


class JobQueue:
    """Jobs in turns among clients, of which one runs at a time. Not thread-safe.

    An upscaler that is not needed any more is closed when no job runs, which may be using it.
    """

    def __init__(self, *, close: Callable[[Upscaler], None]) -> None:
        """`close` is given the upscalers that may be closed now."""
        self._close = close
        self._waiting: RoundRobin[bytes, Job] = RoundRobin()
        self._closing: list[Upscaler] = []
        self._running = False

    def add(self, job: Job) -> list[Job]:
        """Queue a job; returns those of its client that it replaces, when it is the `latest`."""
        return self._waiting.add(job.peer, job, latest=job.latest)

    def forget(self, peer: bytes) -> None:
        """Drop what a client that has left still has waiting."""
        self._waiting.discard(peer)

    @property
    def may_start(self) -> bool:
        """Whether a job waits and none runs."""
        return not self._running and len(self._waiting) > 0

    def take(self) -> Job | None:
        """Return the job that is to run now; None while one runs, or when none waits."""
        if self._running:
            return None
        job = self._waiting.take()
        self._running = job is not None
        return job

    def done(self) -> None:
        """Say that the job that ran has ended."""
        self._running = False
        self._close_all()

    def close_later(self, upscaler: Upscaler) -> None:
        """Close an upscaler that no job waits for, once the one that runs has ended."""
        self._closing.append(upscaler)
        if not self._running:
            self._close_all()

    def _close_all(self) -> None:
        for upscaler in self._closing:
            self._close(upscaler)
        self._closing.clear()


def upscale(job: Job) -> None:
    """Run a job on this thread: fills its result, or drops it, and notes times and outcome.

    An error of an upscaler ends its job and nothing else.
    """
    now_ns = time.perf_counter_ns()
    lane = job.lane
    if job.rescue is not None and lane.estimate.misses(job.frame.deadline_ns, now_ns):
        lane.estimate.relax(now_ns)
        if job.rescue.lane is None:
            job.outcome = Outcome.DROPPED
            return
        lane, job.outcome = job.rescue.lane, Outcome.FALLBACK
    job.started_ns = now_ns
    try:
        lane.upscaler(job.pixels.dense(job.source), job.result.pixels)
    except Exception as error:  # noqa: BLE001 - whatever a runtime throws costs one frame only
        job.error = error
    job.finished_ns = time.perf_counter_ns()
    if job.error is None:
        lane.estimate.add(job.finished_ns - now_ns)
