"""Two runs against one another: the ratio of medians with its interval, and a verdict.

The interval is Student's t of the medians of rounds (`statistics.median_error`), of both runs
together. "Slower" and "faster" mean that all of it lies beyond the tolerance. It knows what
differed between the rounds of each run, which were taken all over its time, and nothing of what
changes between two runs, such as what else the machine was doing; two runs of the same build show
how much that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from protocol.errors import BadRequestError
from upscaler.bench.latency.environment import BUSY
from upscaler.bench.latency.results import Measured, Run
from upscaler.bench.latency.statistics import median_error

TOLERANCE = 0.05

Word = Literal["faster", "slower", "no difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One combination in both runs; `ratio` is the second median over the first."""

    key: str
    before_ms: float
    after_ms: float
    ratio: float
    low: float
    high: float
    verdict: Word
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All combinations that both runs have, those that one has alone, and what to doubt."""

    differences: tuple[Difference, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def slower(self) -> list[Difference]:
        """Combinations that got slower."""
        return [each for each in self.differences if each.verdict == "slower"]


def compare_runs(before: Run, after: Run, *, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two runs; a ratio within 1 +- `tolerance` is no difference.

    Raises BadRequestError for a tolerance that is no share, and when they have nothing in common.
    """
    if not 0 <= tolerance < 1:
        msg = f"a tolerance of {tolerance:g} is no share; choose 0 to less than 1, such as 0.05"
        raise BadRequestError(msg)
    ours = {each.key: each for each in before.combinations if each.summary is not None}
    theirs = {each.key: each for each in after.combinations if each.summary is not None}
    common = [key for key in ours if key in theirs]
    if not common:
        msg = (
            "the two runs have no combination in common: "
            f"{_few(list(ours))} and {_few(list(theirs))}"
        )
        raise BadRequestError(msg)
    return Comparison(
        differences=tuple(_compare(ours[key], theirs[key], tolerance) for key in common),
        only_before=tuple(key for key in ours if key not in theirs),
        only_after=tuple(key for key in theirs if key not in ours),
        warnings=tuple(_warnings(before, after)),
    )


def _compare(before: Measured, after: Measured, tolerance: float) -> Difference:
    errors = [median_error(each.times.total_ms, each.times.rounds) for each in (before, after)]
    factor = (errors[0] + errors[1]).factor
    medians = [float(np.median(each.times.total_ms)) for each in (before, after)]
    ratio = medians[1] / max(medians[0], 1e-6)
    low, high = ratio / factor, ratio * factor
    verdict: Word = "no difference"
    if low > 1 + tolerance:
        verdict = "slower"
    elif high < 1 - tolerance:
        verdict = "faster"
    return Difference(
        key=before.key,
        before_ms=medians[0],
        after_ms=medians[1],
        ratio=ratio,
        low=low,
        high=high,
        verdict=verdict,
        notes=(*_hidden(verdict, low, high, tolerance), *_notes(before, after)),
    )


def _hidden(verdict: Word, low: float, high: float, tolerance: float) -> list[str]:
    """What "no difference" cannot exclude; nothing where it is within the tolerance."""
    if verdict != "no difference" or (low >= 1 - tolerance and high <= 1 + tolerance):
        return []
    return [f"cannot exclude {low - 1:+.0%} to {high - 1:+.0%}"]


def _notes(before: Measured, after: Measured) -> list[str]:
    found = []
    if (before.engine, before.device) != (after.engine, after.device):
        found.append(f"{before.engine} on {before.device} became {after.engine} on {after.device}")
    if before.emulated or after.emulated:
        found.append("emulated: its times mean nothing")
    if before.transport != after.transport:
        found.append(f"{before.transport or 'device'} became {after.transport or 'device'}")
    doubtful = [name for name, one in (("A", before), ("B", after)) if one.warnings]
    if doubtful:
        found.append(f"warnings in {' and '.join(doubtful)}")
    return found


def _warnings(before: Run, after: Run) -> list[str]:
    found = []
    machines = [f"{run.machine.cpu}, {run.machine.cores} cores" for run in (before, after)]
    if machines[0] != machines[1]:
        found.append(f"two machines: {' and '.join(machines)}")
    for what in ("mode", "fps", "rounds", "pixel_format", "delivery", "source", "threads"):
        ours, theirs = (getattr(run.settings, what) for run in (before, after))
        if ours != theirs:
            found.append(f"measured differently: {what} {ours} and {theirs}")
    weights = [
        {(one.method, one.scale): one.weights_sha256 for one in run.models}
        for run in (before, after)
    ]
    changed = [
        f"{key[0]} {key[1]}x"
        for key in weights[0]
        if weights[1].get(key, weights[0][key]) != weights[0][key]
    ]
    if changed:
        found.append(f"other weights: {', '.join(changed)}")
    for name, run in (("A", before), ("B", after)):
        if run.status != "complete":
            found.append(f"{name} is {run.status}: {run.error}")
        if (load := run.machine.load_start) is not None and load[0] > BUSY:
            found.append(f"{name} began under a load of {load[0]:.2f}; others made it slower")
    return found


def _few(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "") if keys else "nothing"
