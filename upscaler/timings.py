"""When frames passed their stages, and what that says of the recent ones.

All times are ns on this machine's monotonic clock. Client and service count with the same class:
the service does not know when a result arrived.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import pairwise

import msgspec

from protocol.messages import Outcome, Result
from upscaler.latency import Percentiles, percentiles

RECENT = 1024
"""Frames that percentiles are taken over."""
FPS_FRAMES = 120
STILL_S = 2.0
"""Without a frame for so long, there are none a second."""
STAGES = ("sent", "waited", "upscaled", "returned", "arrived")
"""Submitted to received, to started, to finished, to returned, to arrived."""
TOTAL = "total"


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """When a frame passed each stage, in ns on this machine's monotonic clock.

    `submitted` and `arrived` are the client's, the others the service's. `deadline_ns` is 0 for
    none.
    """

    submitted_ns: int
    received_ns: int
    started_ns: int
    finished_ns: int
    returned_ns: int
    arrived_ns: int
    deadline_ns: int = 0

    @classmethod
    def of(cls, result: Result, *, arrived_ns: int) -> Timing:
        """Timing of a result that came at `arrived_ns`."""
        return cls(
            submitted_ns=result.submitted_ns,
            received_ns=result.received_ns,
            started_ns=result.started_ns,
            finished_ns=result.finished_ns,
            returned_ns=result.returned_ns,
            arrived_ns=arrived_ns,
            deadline_ns=result.deadline_ns,
        )

    @property
    def times_ns(self) -> tuple[int, int, int, int, int, int]:
        """All of them, in order; 0 where one is not known."""
        return (
            self.submitted_ns,
            self.received_ns,
            self.started_ns,
            self.finished_ns,
            self.returned_ns,
            self.arrived_ns,
        )

    @property
    def total_ms(self) -> float:
        """From `submit` until the pixels are here."""
        return (self.arrived_ns - self.submitted_ns) / 1e6

    @property
    def upscaling_ms(self) -> float:
        """The upscaler alone."""
        return (self.finished_ns - self.started_ns) / 1e6

    @property
    def overhead_ms(self) -> float:
        """Everything but the upscaler: copies, sockets and waiting."""
        return self.total_ms - self.upscaling_ms

    @property
    def missed(self) -> bool:
        """Whether the frame had a deadline and was finished after it."""
        return bool(self.deadline_ns) and self.finished_ns > self.deadline_ns


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the frames so far, and the latencies of the recent ones by stage.

    `frames` counts those that came back with pixels, `fallbacks` those of them that the fallback
    made, `missed` those that were finished after their deadline. `fps` and `stages` concern the
    recent ones alone; stages without a frame are left out.
    """

    frames: int = 0
    fallbacks: int = 0
    dropped: int = 0
    missed: int = 0
    failed: int = 0
    lost: int = 0
    fps: float = 0.0
    stages: dict[str, Percentiles] = {}


class Counter:
    """Counts frames and keeps the times of the recent ones."""

    def __init__(self) -> None:
        self.frames = self.fallbacks = self.dropped = self.missed = self.failed = self.lost = 0
        self._recent: deque[Timing] = deque(maxlen=RECENT)

    def add(self, timing: Timing, outcome: Outcome) -> None:
        """Count a frame that came back."""
        if outcome is Outcome.DROPPED:
            self.dropped += 1
            return
        self._recent.append(timing)
        self.frames += 1
        self.fallbacks += outcome is Outcome.FALLBACK
        self.missed += timing.missed

    def statistics(self) -> Statistics:
        """Summarise; takes about a millisecond."""
        return Statistics(
            frames=self.frames,
            fallbacks=self.fallbacks,
            dropped=self.dropped,
            missed=self.missed,
            failed=self.failed,
            lost=self.lost,
            fps=self._fps(),
            stages=self._stages(),
        )

    def _stages(self) -> dict[str, Percentiles]:
        spent_ms: dict[str, list[float]] = {}
        for timing in self._recent:
            times_ns = timing.times_ns
            for stage, (began_ns, ended_ns) in zip(STAGES, pairwise(times_ns), strict=True):
                if began_ns and ended_ns:
                    spent_ms.setdefault(stage, []).append((ended_ns - began_ns) / 1e6)
            if times_ns[0]:
                spent_ms.setdefault(TOTAL, []).append((max(times_ns) - times_ns[0]) / 1e6)
        return {stage: percentiles(samples) for stage, samples in spent_ms.items()}

    def _fps(self) -> float:
        ended_ns = [max(timing.times_ns) for timing in list(self._recent)[-FPS_FRAMES:]]
        if len(ended_ns) < 2 or time.perf_counter_ns() - ended_ns[-1] > STILL_S * 1e9:
            return 0.0
        return round((len(ended_ns) - 1) * 1e9 / max(ended_ns[-1] - ended_ns[0], 1), 2)
