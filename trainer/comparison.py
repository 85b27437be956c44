"""Several methods on the same frames, with how sure their differences are.

Differences are to the first method, frame by frame, with a 95 % interval by bootstrap over frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from protocol.errors import BadRequestError
from trainer.evaluate import (
    Evaluation,
    FlickerScore,
    FrameScore,
    Metric,
    evaluate_flicker,
    score,
)
from trainer.methods import Method
from trainer.store import FramePair
from upscaler import __version__
from upscaler.machine import cpu_name
from upscaler.metrics import Interval, bootstrap_mean, paired_differences
from upscaler.metrics.bootstrap import LEVEL, RESAMPLES, SEED

METRICS: tuple[Metric, ...] = ("psnr_db", "psnr_y_db", "ssim_rgb", "ssim_y")
FORMAT = 1
"""Version of the report's layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One method and its scores: one evaluation for each shave, flicker for each step."""

    method: Method
    evaluations: list[Evaluation]
    flicker: list[FlickerScore]

    @property
    def mean_flicker(self) -> float:
        """Mean over steps, in levels. Raises ValueError when there is none."""
        if not self.flicker:
            msg = "flicker was not measured; give compare some sequences"
            raise ValueError(msg)
        return float(np.mean([step.levels for step in self.flicker]))


def compare(
    methods: Sequence[Method],
    pairs: Sequence[FramePair],
    *,
    shaves: Sequence[int] = (0,),
    flip: bool = False,
    sequences: Sequence[Sequence[FramePair]] = (),
    advance: Callable[[], object] = lambda: None,
) -> list[Compared]:
    """Run every method on every pair, and score the result once for each shave, in pixels.

    FLIP is measured with the first shave only, and flicker on whole frames of `sequences`. Every
    frame goes through all methods before the next one, so that a method that cannot run says so at
    once. `advance` is called `count_work` times.

    Raises BadImageError, naming the pair, for a frame that cannot be scored, and what the methods
    raise.
    """
    scores: list[list[list[FrameScore]]] = [[[] for _ in shaves] for _ in methods]
    for pair in pairs:
        for method, by_shave in zip(methods, scores, strict=True):
            upscaled = method(pair.low)
            for index, shave in enumerate(shaves):
                metrics: tuple[Metric, ...] = METRICS
                if flip and index == 0:
                    metrics = (*METRICS, "flip")
                by_shave[index].append(score(upscaled, pair, metrics=metrics, shave=shave))
            advance()
    flicker = evaluate_flicker(methods, sequences, advance=advance)
    return [
        Compared(
            method=method,
            evaluations=[
                Evaluation(frames=frames, shave=shave)
                for frames, shave in zip(by_shave, shaves, strict=True)
            ],
            flicker=steps,
        )
        for method, by_shave, steps in zip(methods, scores, flicker, strict=True)
    ]


def count_work(
    methods: Sequence[Method],
    pairs: Sequence[FramePair],
    sequences: Sequence[Sequence[FramePair]] = (),
) -> int:
    """Frames and steps that `compare` will tell of."""
    return len(methods) * (len(pairs) + sum(len(sequence) - 1 for sequence in sequences))


def difference(ours: Evaluation, baseline: Evaluation, metric: Metric) -> Interval:
    """Mean difference of a metric, and its interval, over the frames that both were scored on.

    Raises ValueError when one was not asked for the metric, or they are of other frames.
    """
    return bootstrap_mean(paired_differences(ours.values(metric), baseline.values(metric)))


def flicker_difference(ours: Compared, baseline: Compared) -> Interval:
    """Mean difference of the flicker in levels, and its interval, over steps.

    Raises ValueError when there is none.
    """
    steps, base = ([step.levels for step in each.flicker] for each in (ours, baseline))
    return bootstrap_mean(paired_differences(steps, base))


def metrics_of(evaluation: Evaluation) -> list[Metric]:
    """Metrics that were asked for."""
    flip: list[Metric] = ["flip"] if evaluation.frames[0].flip is not None else []
    return [*METRICS, *flip]


def report(compared: Sequence[Compared], **about: object) -> dict[str, Any]:
    """Return everything that was measured as plain data; `about` says on what.

    Infinite numbers become null in JSON: the PSNR of equal pictures, the interval of one frame.
    """
    baseline = compared[0]
    return {
        "format": FORMAT,
        "version": __version__,
        "machine": cpu_name(),
        **about,
        "differences": {
            "to": baseline.method.label,
            "by": "percentile bootstrap of the mean over frames, paired",
            "level": LEVEL,
            "resamples": RESAMPLES,
            "seed": SEED,
        },
        "methods": [_method_report(each, baseline) for each in compared],
    }


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Write a report as JSON; the file appears whole or not at all.

    Raises BadRequestError when it cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        try:
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise BadRequestError(msg) from error


def _method_report(ours: Compared, baseline: Compared) -> dict[str, Any]:
    method = ours.method
    described: dict[str, Any] = {
        "label": method.label,
        "name": method.name,
        "kind": method.kind,
        "engine": method.engine,
        "device": method.device,
        "emulated": method.emulated,
        "scores": [
            _scores_report(evaluation, base)
            for evaluation, base in zip(ours.evaluations, baseline.evaluations, strict=True)
        ],
    }
    if ours.flicker:
        described["flicker"] = {
            "mean": ours.mean_flicker,
            "difference": asdict(flicker_difference(ours, baseline)),
            "steps": [asdict(step) for step in ours.flicker],
        }
    return described


def _scores_report(ours: Evaluation, baseline: Evaluation) -> dict[str, Any]:
    metrics = metrics_of(ours)
    return {
        "shave": ours.shave,
        "mean": {metric: ours.mean(metric) for metric in metrics},
        "difference": {metric: asdict(difference(ours, baseline, metric)) for metric in metrics},
        "by_game": {metric: ours.by_game(metric) for metric in metrics},
        "frames": [asdict(frame) for frame in ours.frames],
    }
