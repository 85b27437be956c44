"""How long the rest of a run will take: what has been seen of a method, scaled by pixels.

A method that has not been measured yet is taken to need all of its share.
"""

from __future__ import annotations

from collections.abc import Sequence

from upscaler.bench.latency.plan import Case
from upscaler.bench.latency.results import Measured

OPENING_S = 1.5
"""To open a combination and warm it up."""


class Estimate:
    """Knows the combinations in the order they are measured; all times are in seconds.

    `frames` are those of a combination in all `rounds`.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        frames: int,
        seconds: float,
        fps: float | None,
        rounds: int = 1,
    ) -> None:
        self._left = list(cases) * rounds
        self._frames = frames / rounds
        self._seconds = seconds
        self._period_s = 1 / fps if fps else 0.0
        self._per_pixel_s: dict[str, float] = {}
        self._took_s = 0.0

    def learn(self, measured: Measured, took_s: float) -> None:
        """Take note of a round of a combination that ended `took_s` after the run began."""
        keys = [case.key for case in self._left]
        if measured.status == "failed":
            self._left = [case for case in self._left if case.key != measured.key]
        elif measured.key in keys:
            del self._left[keys.index(measured.key)]
        count = len(measured.times.total_ms)
        if count:
            pixels = measured.output_width * measured.output_height
            self._per_pixel_s[measured.method] = measured.took_s / count / pixels
        self._took_s = took_s

    def left_s(self, *, done: int, spent_s: float) -> float:
        """Return what is left when `done` frames of the round in progress took `spent_s`."""
        if not self._left:
            return 0.0
        remaining_s = max(0.0, self._seconds - self._took_s)
        total_s = 0.0
        for number, case in enumerate(self._left):
            share_s = remaining_s / (len(self._left) - number)
            if number == 0 and done:
                needed_s = spent_s / done * self._frames
            else:
                needed_s = self._needed_s(case, share_s)
            taken_s = min(needed_s, share_s)
            remaining_s = max(0.0, remaining_s - taken_s)
            total_s += taken_s
        return max(0.0, total_s - spent_s)

    def _needed_s(self, case: Case, share_s: float) -> float:
        known = self._per_pixel_s.get(case.method)
        if known is None:
            return max(share_s, self._frames * self._period_s)
        each_s = max(known * case.output.pixels, self._period_s)
        return OPENING_S + each_s * self._frames
