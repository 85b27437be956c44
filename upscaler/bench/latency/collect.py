"""From the frames of one combination to what `run.json` says of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from upscaler.bench.latency.loops import Shot
from upscaler.bench.latency.plan import Case
from upscaler.bench.latency.results import FrameTimes, Measured, Status
from upscaler.bench.latency.statistics import doubts, summarise, unresolved
from upscaler.latency import percentiles
from upscaler.timings import STAGES, TOTAL

LATE = "late"
KEPT_RATE = 0.98
"""Of the frames a second that an open loop asks for: with fewer it is saturated."""
LATE_MS = 1.0
"""At the 99th percentile: an open loop that submits later has not kept its schedule."""
RULES = (
    f"saturated: fewer than {KEPT_RATE:.0%} of the frames a second that were asked for came back",
    f"late: the 99th percentile of submissions is more than {LATE_MS:g} ms behind the schedule",
)


def describe(
    case: Case,
    *rounds: Sequence[Shot],
    status: Status,
    fps: float | None = None,
    limits_ms: Sequence[float] = (),
    error: str = "",
) -> Measured:
    """Return figures and times of the frames of all rounds that came back; none is allowed."""
    taken = [frame_times(shots) for shots in rounds if shots]
    times = join_rounds(taken)
    shots = [shot for each in rounds for shot in each]
    measured = Measured(
        key=case.key,
        target=case.target,
        scale=case.scale_label,
        method=case.method,
        input_width=case.input.width,
        input_height=case.input.height,
        output_width=case.output.width,
        output_height=case.output.height,
        status=status,
        error=error,
        dropped=sum(shot.dropped for shot in shots),
        times=times,
    )
    if not times.total_ms:
        return replace(measured, warnings=["no frame came back"])
    summary = summarise(times.total_ms, limits_ms=limits_ms, rounds=times.rounds)
    named = zip((LATE, *STAGES), _parts(times), strict=True)
    stages = {stage: percentiles(part) for stage, part in named if any(part)}
    spent = [shot.harness_ns / 1e6 for shot in shots if shot.harness_ns]
    return replace(
        measured,
        summary=summary,
        stages={**stages, TOTAL: percentiles(times.total_ms)},
        harness=percentiles(spent) if spent else None,
        unresolved=unresolved(summary.count),
        warnings=[*doubts(times.total_ms, summary), *_pace(taken, measured.dropped, fps)],
    )


def _parts(times: FrameTimes) -> tuple[list[float], ...]:
    """What a frame's total is the sum of, in order."""
    return (
        times.late_ms,
        times.sent_ms,
        times.waited_ms,
        times.upscaled_ms,
        times.returned_ms,
        times.arrived_ms,
    )


def frame_times(shots: Sequence[Shot]) -> FrameTimes:
    """Return the times of the frames that came back, in the order of their submission."""
    first_ns = shots[0].submitted_ns if shots else 0
    rows = [
        (shot.meant_ns, *shot.timing.times_ns, shot.call_ns)
        for shot in shots
        if shot.timing is not None
    ]
    columns = np.array(rows, np.int64).reshape(-1, 8).T
    meant, *stamps, calls = columns
    parts = [_ms(ended - began) for began, ended in pairwise([meant, *stamps])]
    return FrameTimes(
        at_ms=_ms(stamps[0] - first_ns),
        **dict(zip((f"{name}_ms" for name in (LATE, *STAGES)), parts, strict=True)),
        total_ms=_ms(stamps[-1] - meant),
        call_ms=_ms(calls),
        dropped_at_ms=[
            round((shot.submitted_ns - first_ns) / 1e6, 4) for shot in shots if shot.dropped
        ],
        rounds=[len(rows)],
    )


def join_rounds(rounds: Sequence[FrameTimes]) -> FrameTimes:
    """Return the times of all rounds as if each had begun when the one before it ended.

    What was measured between two rounds is another combination, and no pause of this one.
    """
    names = [name for name in FrameTimes.__struct_fields__ if name not in ("at_ms", "rounds")]
    joined: dict[str, list[float]] = {name: [] for name in ("at_ms", *names)}
    start_ms = 0.0
    for times in rounds:
        for name in names:
            values = getattr(times, name)
            moved = name == "dropped_at_ms"
            joined[name] += [round(at + start_ms, 4) for at in values] if moved else values
        joined["at_ms"] += [round(at + start_ms, 4) for at in times.at_ms]
        start_ms += _length_ms(times)
    return FrameTimes(**joined, rounds=[len(times.total_ms) for times in rounds])


def _length_ms(times: FrameTimes) -> float:
    """From the first submission until the last frame came, or another would have been sent."""
    sent = [*times.at_ms, *times.dropped_at_ms]
    if not sent:
        return 0.0
    arrived = [
        at + total - late
        for at, total, late in zip(times.at_ms, times.total_ms, times.late_ms, strict=True)
    ]
    return max([*arrived, max(sent) * len(sent) / max(len(sent) - 1, 1)])


def _ms(spent_ns: NDArray[np.int64]) -> list[float]:
    rounded: list[float] = (spent_ns / 1e6).round(4).tolist()
    return rounded


def _pace(rounds: Sequence[FrameTimes], dropped: int, fps: float | None) -> list[str]:
    """What went wrong with the rate of an open loop."""
    found = []
    late_ms = [late for times in rounds for late in times.late_ms]
    if dropped:
        share = dropped / (dropped + len(late_ms))
        found.append(f"{dropped} frames ({share:.0%}) were dropped and have no latency")
    intervals, spent_ms = 0, 0.0
    for times in rounds:
        if len(times.total_ms) > 1:
            arrived = np.add(np.subtract(times.at_ms, times.late_ms), times.total_ms)
            intervals += len(arrived) - 1
            spent_ms += float(np.ptp(arrived))
    if fps is None or not spent_ms:
        return found
    rate = 1000 * intervals / spent_ms
    if rate < KEPT_RATE * fps and not dropped:
        found.append(
            f"saturated: {rate:.1f} frames a second came back of the {fps:g} that were asked for; "
            "the latency grows with the length of the run"
        )
    elif (late := float(np.percentile(late_ms, 99))) > LATE_MS:
        found.append(f"late: frames were submitted {late:.2f} ms behind the schedule at p99")
    return found
