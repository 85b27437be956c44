"""A comparison from its frames to its report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np

from protocol.errors import BadImageError
from protocol.frames import Size
from upscaler import __version__
from upscaler.compare.inputs import Shot
from upscaler.compare.measure import Outcome, Plan, measure
from upscaler.compare.methods import Contestant
from upscaler.compare.report import write_report
from upscaler.compare.results import (
    MEASURES,
    Bounds,
    Comparison,
    FrameResult,
    Latency,
    Method,
    Scene,
    write_json,
)
from upscaler.contract import Frame
from upscaler.latency import percentiles
from upscaler.machine import cpu_name
from upscaler.metrics import bootstrap_mean, paired_differences

REPORT, DATA = "report.html", "report.json"
ROUNDS, LEAST_ROUNDS = 30, 3
TIMING_S = 10.0
"""Of timing all methods together; slow ones get fewer rounds."""


def compare(
    shots: Iterator[Shot],
    plan: Plan,
    *,
    threads: int | None,
    done: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Compare and write `report.html`, `report.json` and pictures into the plan's folder.

    `done` is called after each frame, `say` with a few words before what takes long. On an
    interrupt the report of the frames until then is written, and the interrupt raised again.

    Raises BadImageError when there is no frame or none could be compared, and what `measure` does.
    """
    outcome = Outcome()
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot write to {plan.out}: {error.strerror or error}"
        raise BadImageError(msg) from error
    interrupted: KeyboardInterrupt | None = None
    try:
        measure(shots, plan, outcome, done)
        say("latency")
        latencies = _time_methods(plan.contestants, outcome.sizes)
    except KeyboardInterrupt as error:
        if not outcome.frames:
            raise
        interrupted, latencies = error, {}
    if not outcome.frames:
        reason = (
            f": {outcome.failures[0].name}: {outcome.failures[0].reason}"
            if outcome.failures
            else ""
        )
        msg = f"no frame could be compared{reason}"
        raise BadImageError(msg)
    comparison = Comparison(
        upscaler=__version__,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=cpu_name(),
        threads=threads or os.cpu_count() or 1,
        scale=_scale(outcome.sizes),
        methods=[
            _method(each, plan.contestants[0], outcome, latencies.get(each.key))
            for each in plan.contestants
        ],
        scenes=_scenes(outcome.frames, plan.contestants),
        frames=outcome.frames,
        failures=outcome.failures,
    )
    write_json(plan.out / DATA, comparison)
    say("report")
    write_report(plan.out / REPORT, comparison, shown=plan.pictures, encoded=outcome.encoded)
    if interrupted is not None:
        raise interrupted
    return comparison


def _time_methods(
    contestants: Sequence[Contestant], sizes: dict[tuple[Size, Size], Frame]
) -> dict[str, Latency]:
    """Time all methods on one frame of the largest sizes, in turns, so that noise hits all.

    An emulated processor's times mean nothing, and are not taken.
    """
    if not sizes:
        return {}
    size, upscaled = max(sizes, key=lambda pair: pair[1].pixels)
    low = sizes[size, upscaled]
    timed = {each.key: each.opened(size, upscaled) for each in contestants}
    timed = {key: upscaler for key, upscaler in timed.items() if not upscaler.emulated}
    results = {key: np.zeros(upscaler.output_shape, np.uint8) for key, upscaler in timed.items()}
    samples: dict[str, list[float]] = {key: [] for key in timed}
    until = time.perf_counter() + TIMING_S
    for turn in range(ROUNDS + 1):
        if turn > LEAST_ROUNDS and time.perf_counter() > until:
            break
        for key, upscaler in timed.items():
            began = time.perf_counter_ns()
            upscaler(low, results[key])
            if turn:  # the first warms up
                samples[key].append((time.perf_counter_ns() - began) / 1e6)
    return {
        key: Latency(
            input_size=str(size),
            output_size=str(upscaled),
            p50_ms=percentiles(taken).p50_ms,
            p95_ms=percentiles(taken).p95_ms,
            least_ms=round(min(taken), 3),
            rounds=len(taken),
        )
        for key, taken in samples.items()
    }


def _method(
    contestant: Contestant, first: Contestant, outcome: Outcome, latency: Latency | None
) -> Method:
    upscaler = contestant.opened(*next(iter(outcome.sizes)))
    return Method(
        key=contestant.key,
        name=upscaler.name,
        engine=upscaler.engine,
        device=upscaler.device,
        emulated=upscaler.emulated,
        latency=latency,
        overall=_bounds(outcome.frames, contestant.key),
        difference={}
        if contestant is first
        else _bounds(outcome.frames, contestant.key, first.key),
    )


def _scenes(frames: Sequence[FrameResult], contestants: Sequence[Contestant]) -> list[Scene]:
    """By scene, the worst first, in the order of the frames."""
    by_scene: dict[str, list[FrameResult]] = {}
    for frame in frames:
        by_scene.setdefault(frame.scene, []).append(frame)
    return [
        Scene(
            name=name,
            frames=len(members),
            methods={each.key: _bounds(members, each.key) for each in contestants},
        )
        for name, members in by_scene.items()
    ]


def _bounds(
    frames: Iterable[FrameResult], key: str, baseline: str | None = None
) -> dict[str, Bounds]:
    """Means over frames by measure; with a baseline, of the differences to it, frame by frame."""
    found = {}
    for name in MEASURES:
        known = [each for each in frames if each.methods[key].get(name) is not None]
        if not known:
            continue
        values = [each.methods[key][name] or 0.0 for each in known]
        if baseline is not None:
            theirs = [each.methods[baseline][name] or 0.0 for each in known]
            values = paired_differences(values, theirs).tolist()
        found[name] = _interval(values)
    return found


def _interval(values: Sequence[float]) -> Bounds:
    interval = bootstrap_mean(values)
    bounded = len(values) > 1
    return Bounds(
        mean=interval.mean,
        low=interval.low if bounded else None,
        high=interval.high if bounded else None,
    )


def _scale(sizes: Iterable[tuple[Size, Size]]) -> str:
    ratios = {Fraction(upscaled.width, size.width) for size, upscaled in sizes}
    return f"{float(min(ratios)):.4g}x" if len(ratios) == 1 else "mixed"
