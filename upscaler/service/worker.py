"""The inference thread: takes frames in turns, upscales them, hands them back."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from protocol.messages import Frame
from upscaler.contract import Frame as Pixels
from upscaler.contract import Upscaler
from upscaler.service.schedule import RoundRobin
from upscaler.transport import Delivery

log = logging.getLogger(__name__)


class ResultBuffer:
    """Memory of one result. The worker may write it once ZeroMQ has let go of the last one."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.pixels: Pixels = np.empty(shape, np.uint8)
        self.delivery = Delivery()


class ResultPool:
    """Result buffers of one client, reused: a fresh 8 MB costs a millisecond of page faults."""

    def __init__(self, shape: tuple[int, int, int], *, limit: int) -> None:
        self._shape = shape
        self._limit = limit
        self._made = 0
        self._free: deque[ResultBuffer] = deque()

    def take(self) -> ResultBuffer | None:
        """Return a buffer that nobody reads any more, or None when `limit` are on their way."""
        for _ in range(len(self._free)):
            buffer = self._free.popleft()
            if buffer.delivery.done:
                return buffer
            self._free.append(buffer)
        if self._made == self._limit:
            return None
        self._made += 1
        return ResultBuffer(self._shape)

    def give_back(self, buffer: ResultBuffer, delivery: Delivery) -> None:
        """Return a buffer, to be reused when `delivery` is done."""
        buffer.delivery = delivery
        self._free.append(buffer)


@dataclass(slots=True, kw_only=True)
class Job:
    """One frame on its way. `source` is a view of the received message; times in ns.

    `results` is the pool that `result` goes back to; it tells one session of a peer from the next.
    """

    peer: bytes
    frame: Frame
    source: Pixels
    result: ResultBuffer
    results: ResultPool
    upscaler: Upscaler
    received_ns: int
    started_ns: int = 0
    finished_ns: int = 0
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

    def submit(self, job: Job) -> None:
        """Queue a job."""
        with self._changed:
            self._queue.add(job.peer, job)
            self._changed.notify()

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
                self._upscale(job)
                self.finished.append(job)
                self._notify()

    @staticmethod
    def _upscale(job: Job) -> None:
        job.started_ns = time.perf_counter_ns()
        try:
            job.upscaler(np.ascontiguousarray(job.source), job.result.pixels)
        except Exception as error:  # noqa: BLE001 - whatever a runtime throws costs one frame only
            job.error = error
        job.finished_ns = time.perf_counter_ns()


def _close(upscaler: Upscaler) -> None:
    try:
        upscaler.close()
    except Exception:
        log.exception("closing %s failed", upscaler.name)
