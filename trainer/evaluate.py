"""Scores of anything that upscales, frame by frame, against native renders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Literal

import numpy as np

from protocol.errors import BadImageError
from trainer.methods import AnySize, Upscale, filter_method, model_method
from trainer.store import FramePair
from upscaler.contract import Frame
from upscaler.metrics import (
    flicker_levels,
    flip_mean,
    motion_between,
    psnr_db,
    psnr_y_db,
    signed_error,
    ssim_rgb,
    ssim_y,
)
from upscaler.models.library import Model

__all__ = [
    "MEASURES",
    "AnySize",
    "Evaluation",
    "FlickerScore",
    "FrameScore",
    "Metric",
    "Upscale",
    "evaluate",
    "evaluate_filter",
    "evaluate_flicker",
    "evaluate_model",
    "score",
    "sequences_of",
]

Metric = Literal["psnr_db", "psnr_y_db", "ssim_rgb", "ssim_y", "flip"]
MEASURES: dict[Metric, Callable[..., float]] = {
    "psnr_db": psnr_db,
    "psnr_y_db": psnr_y_db,
    "ssim_rgb": ssim_rgb,
    "ssim_y": ssim_y,
    "flip": flip_mean,
}
"""Each takes (upscaled, native, shave=pixels), (H, W, 3) uint8 RGB."""
LEAST_VISIBLE = 0.01
"""Share of pixels that must be visible in both frames of a step; less is a cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScore:
    """Scores of one frame; None where a metric was not asked for. PSNR is in dB, inf if equal."""

    name: str
    game: str
    psnr_db: float | None = None
    psnr_y_db: float | None = None
    ssim_rgb: float | None = None
    ssim_y: float | None = None
    flip: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores of every frame, ordered as the pairs were; `shave` pixels at each side left out."""

    frames: list[FrameScore]
    shave: int = 0

    @property
    def mean_db(self) -> float:
        """Mean RGB PSNR over frames."""
        return self.mean("psnr_db")

    @property
    def by_game_db(self) -> dict[str, float]:
        """Mean RGB PSNR over the frames of each game, ordered by name."""
        return self.by_game("psnr_db")

    def values(self, metric: Metric) -> list[float]:
        """One number for each frame. Raises ValueError for a metric that was not asked for."""
        return [self._value(frame, metric) for frame in self.frames]

    def mean(self, metric: Metric) -> float:
        """Mean over frames; same error."""
        return float(np.mean(self.values(metric)))

    def by_game(self, metric: Metric) -> dict[str, float]:
        """Mean over the frames of each game, ordered by name; same error."""
        games: dict[str, list[float]] = {}
        for frame in self.frames:
            games.setdefault(frame.game, []).append(self._value(frame, metric))
        return {game: float(np.mean(games[game])) for game in sorted(games)}

    @staticmethod
    def _value(frame: FrameScore, metric: Metric) -> float:
        value: float | None = getattr(frame, metric)
        if value is None:
            msg = f"{metric} was not measured on {frame.name}; ask evaluate for it"
            raise ValueError(msg)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class FlickerScore:
    """Flicker in levels of the step from the frame before to the frame `name`.

    `visible` is the share of the pixels that could be followed, see `upscaler.metrics.flicker`.
    """

    name: str
    game: str
    scene: str
    levels: float
    visible: float


def evaluate(
    upscale: Upscale,
    pairs: Iterable[FramePair],
    *,
    metrics: Sequence[Metric] = ("psnr_db",),
    shave: int = 0,
) -> Evaluation:
    """Upscale the low render of every pair and compare it with the high one.

    RGB PSNR alone unless told otherwise: for a 1080p frame it takes 0.02 s, SSIM 0.6 s and FLIP
    0.1 s. Raises BadImageError, naming the pair, when a frame is too small to be scored, and what
    `upscale` raises.
    """
    frames = [score(upscale(pair.low), pair, metrics=metrics, shave=shave) for pair in pairs]
    return Evaluation(frames=frames, shave=shave)


def score(
    upscaled: Frame, pair: FramePair, *, metrics: Sequence[Metric], shave: int = 0
) -> FrameScore:
    """Compare the upscaled low render of a pair with the high one.

    Raises BadImageError, naming the pair, when they cannot be compared.
    """
    try:
        scores = {metric: MEASURES[metric](upscaled, pair.high, shave=shave) for metric in metrics}
    except ValueError as error:
        msg = f"{pair.name} cannot be scored: {error}"
        raise BadImageError(msg) from error
    return FrameScore(name=pair.name, game=pair.game, **scores)


def evaluate_filter(
    method: str,
    pairs: Iterable[FramePair],
    scale: Fraction,
    *,
    metrics: Sequence[Metric] = ("psnr_db",),
    shave: int = 0,
) -> Evaluation:
    """Evaluate a classical filter, such as "bicubic".

    Raises BadRequestError for an unknown one, and what `evaluate` raises.
    """
    with filter_method(method, scale) as upscale:
        return evaluate(upscale, pairs, metrics=metrics, shave=shave)


def evaluate_model(
    model: Model,
    engine_name: str,
    pairs: Iterable[FramePair],
    *,
    metrics: Sequence[Metric] = ("psnr_db",),
    shave: int = 0,
) -> Evaluation:
    """Evaluate a model, float or int8, on "openvino", "onnxruntime", "npu" or "auto".

    Raises EngineError for an engine that is missing or cannot run the model, and what `evaluate`
    raises.
    """
    with model_method(model, engine_name) as upscale:
        return evaluate(upscale, pairs, metrics=metrics, shave=shave)


def sequences_of(pairs: Iterable[FramePair]) -> list[list[FramePair]]:
    """Group pairs by game and scene, each group in the order of names: that of time.

    Raises BadImageError for a group of one frame, or of frames of several sizes.
    """

    def scene(pair: FramePair) -> tuple[str, str]:
        return pair.game, pair.scene

    ordered = sorted(pairs, key=lambda pair: (*scene(pair), pair.name))
    grouped = [list(group) for _, group in groupby(ordered, key=scene)]
    for sequence in grouped:
        first = sequence[0]
        if len(sequence) == 1:
            msg = f"{first.name} is alone in its scene; flicker needs consecutive frames"
            raise BadImageError(msg)
        for pair in sequence:
            if pair.high.shape != first.high.shape:
                msg = f"{pair.name} has another size than {first.name}, frames of one sequence"
                raise BadImageError(msg)
    return grouped


def evaluate_flicker(
    methods: Sequence[Upscale],
    sequences: Iterable[Sequence[FramePair]],
    *,
    advance: Callable[[], object] = lambda: None,
) -> list[list[FlickerScore]]:
    """Measure the flicker of every step of every sequence; one list of scores for each method.

    All methods are measured on the same steps: those across a cut are left out. `advance` is
    called once for each method and step. Raises BadImageError, naming the pair, when frames are
    too small, and what the methods raise.
    """
    scores: list[list[FlickerScore]] = [[] for _ in methods]
    for sequence in sequences:
        first = sequence[0]
        before = [signed_error(upscale(first.low), first.high) for upscale in methods]
        for earlier, later in pairwise(sequence):
            try:
                motion = motion_between(earlier.high, later.high)
            except ValueError as error:
                msg = f"{later.name} cannot be scored: {error}"
                raise BadImageError(msg) from error
            for index, upscale in enumerate(methods):
                after = signed_error(upscale(later.low), later.high)
                if motion.share >= LEAST_VISIBLE:
                    flicker = FlickerScore(
                        name=later.name,
                        game=later.game,
                        scene=later.scene,
                        levels=flicker_levels(before[index], after, motion),
                        visible=motion.share,
                    )
                    scores[index].append(flicker)
                before[index] = after
                advance()
    return scores
