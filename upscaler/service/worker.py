"""The inference thread: takes frames in turns, upscales them, hands them back."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from protocol.messages import Frame, Outcome
from upscaler.contract import Frame as Pixels
from upscaler.contract import Upscaler
from upscaler.service.lanes import Lane
from upscaler.service.pixels import ClientPixels, Result
from upscaler.service.schedule import RoundRobin

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What happens to a frame that would be late: another lane takes it, or it is dropped."""

    lane: Lane | None


@dataclass(slots=True, kw_only=True)
class Job:
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


class Worker:
    """Runs jobs on one thread; `finished` collects them, and `notify` is called after each.

    An error of an upscaler ends its job, never the thread.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self.finished: deque[Job] = deque()
        self._notify = notify
        self._queue: RoundRobin[bytes, Job] = RoundRobin()
        self._closing: list[Upscaler] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, job: Job) -> list[Job]:
        """Queue a job; returns those of its client that it replaces, when it is the `latest`."""
        with self._changed:
            replaced = self._queue.add(job.peer, job, latest=job.latest)
            self._changed.notify()
        return replaced

    def forget(self, peer: bytes) -> None:
        """Drop what a client that has left still has waiting."""
        with self._changed:
            self._queue.discard(peer)

    def close_later(self, upscaler: Upscaler) -> None:
        """Close an upscaler once no job runs on it: between two jobs."""
        with self._changed:
            self._closing.append(upscaler)
            self._changed.notify()

    def stop(self) -> None:
        """Finish the running job, leave the others, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._closing or len(self._queue))
                closing, self._closing = self._closing, []
                job = None if self._stopping else self._queue.take()
            for upscaler in closing:
                _close(upscaler)
            if self._stopping:
                return
            if job is not None:
                _upscale(job)
                self.finished.append(job)
                # A job keeps its client's memory alive: not beyond its end.
                del job
                self._notify()


def _upscale(job: Job) -> None:
    now_ns = time.perf_counter_ns()
    lane = job.lane
    if job.rescue is not None and lane.estimate.misses(job.frame.deadline_ns, now_ns):
        lane.estimate.relax()
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


def _close(upscaler: Upscaler) -> None:
    try:
        upscaler.close()
    except Exception:
        log.exception("closing %s failed", upscaler.name)
