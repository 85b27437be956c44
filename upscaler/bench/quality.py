"""`upscaler bench quality`: RGB PSNR of methods and engines on pairs of native renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from math import inf, log10
from pathlib import Path

import numpy as np

from protocol.errors import BadImageError
from protocol.frames import PixelFormat, Size, parse_scale, upscaled_size
from upscaler.catalogue import Catalogue
from upscaler.console import console, progress, table
from upscaler.contract import Frame, Request
from upscaler.filters.library import filters_at
from upscaler.images import read_image
from upscaler.metrics import psnr_db
from upscaler.metrics.pictures import PEAK
from upscaler.models.library import shipped
from upscaler.pairs import Pair, find_pairs

FLOAT_ENGINE = "onnxruntime"
"""The reference runs the float model."""


@dataclass(slots=True)
class Score:
    """PSNR of one method in dB, by game, one entry for each frame."""

    by_game: dict[str, list[float]] = field(default_factory=dict)

    def add(self, game: str, psnr: float) -> None:
        """Add one frame."""
        self.by_game.setdefault(game, []).append(psnr)

    @property
    def mean(self) -> float:
        """Mean over frames."""
        return float(np.mean([psnr for each in self.by_game.values() for psnr in each]))


@dataclass(slots=True)
class Agreement:
    """How close two engines come with the same weights, over all frames."""

    squared: float = 0
    absolute: float = 0
    differing: int = 0
    values: int = 0
    largest: int = 0

    def add(self, first: Frame, second: Frame) -> None:
        """Add the results of one frame, (height, width, channels) uint8 of one shape."""
        levels = np.abs(first.astype(np.int16) - second)
        self.squared += float(np.square(levels, dtype=np.int64).sum())
        self.absolute += float(levels.sum(dtype=np.int64))
        self.differing += int(np.count_nonzero(levels))
        self.values += levels.size
        self.largest = max(self.largest, int(levels.max()))

    @property
    def psnr_db(self) -> float:
        """PSNR of all frames as one picture; inf where they are equal."""
        return 10 * log10(PEAK**2 * self.values / self.squared) if self.squared else inf


def run(root: Path, *, split: str, scale: str, engines: Sequence[str]) -> None:
    """Upscale the low render of every pair by everything and print how close the results come."""
    ratio = parse_scale(scale)
    pairs = find_pairs(root, split=split, scale=ratio)
    contestants = _contestants(engines, ratio)
    scores = {label: Score() for label, *_ in contestants}
    quantised = [(label, method) for label, _, method in contestants if "int8" in label]
    same_weights = [(one, other) for (one, a), (other, b) in combinations(quantised, 2) if a == b]
    agreement = {pairing: Agreement() for pairing in same_weights}
    with progress() as bar:
        task = bar.add_task("frames x methods", total=len(pairs) * len(contestants))
        for pair in pairs:
            low, high = _read(pair, ratio)
            results = {}
            for label, catalogue, method in contestants:
                results[label] = _upscale(catalogue, method, low, ratio)
                scores[label].add(pair.game, psnr_db(results[label], high))
                bar.advance(task)
            for first, second in same_weights:
                agreement[first, second].add(results[first], results[second])
    _print(scores, agreement, len(pairs), f"split {split!r} at {float(ratio):g}x")


def _contestants(engines: Sequence[str], scale: Fraction) -> list[tuple[str, Catalogue, str]]:
    contestants: list[tuple[str, Catalogue, str]] = []
    filters = Catalogue()
    contestants += [(method, filters, method) for method in filters_at(scale)]
    for model in shipped():
        if model.card.ratio != scale:
            continue
        kind = "int8" if model.card.quantised else "float32"
        for engine in engines if model.card.quantised else [FLOAT_ENGINE]:
            catalogue = Catalogue(engine=engine, models=[model.card.name])
            emulated = ", emulated" if catalogue.engine.emulated else ""
            label = f"{model.card.method} {kind} ({engine}{emulated})"
            contestants.append((label, catalogue, model.card.method))
    return contestants


def _read(pair: Pair, scale: Fraction) -> tuple[Frame, Frame]:
    low, high = (np.ascontiguousarray(read_image(path)[:, :, :3]) for path in (pair.low, pair.high))
    expected = upscaled_size(Size(low.shape[1], low.shape[0]), scale)
    if Size(high.shape[1], high.shape[0]) != expected:
        msg = (
            f"{pair.high} is {high.shape[1]}x{high.shape[0]}, but {pair.low} upscales to {expected}"
        )
        raise BadImageError(msg)
    return low, high


def _upscale(catalogue: Catalogue, method: str, low: Frame, scale: Fraction) -> Frame:
    request = Request(
        method=method,
        size=Size(low.shape[1], low.shape[0]),
        scale=scale,
        pixel_format=PixelFormat.BGR8,
    )
    upscaler = catalogue.open(request)
    result = np.empty(upscaler.output_shape, np.uint8)
    upscaler(low, result)
    upscaler.close()
    return result


def _print(
    scores: dict[str, Score],
    agreement: dict[tuple[str, str], Agreement],
    count: int,
    what: str,
) -> None:
    games = sorted(next(iter(scores.values())).by_game)
    shown = table(
        f"RGB PSNR in dB over whole frames, {count} frames, {what}",
        *("method", *games, "mean", "over bicubic", "over fsr1"),
    )
    for label, score in scores.items():
        values = [float(np.mean(score.by_game[game])) for game in games]
        gains = [score.mean - scores[base].mean for base in ("bicubic", "fsr1")]
        shown.add_row(
            label,
            *(f"{value:.3f}" for value in [*values, score.mean]),
            *(f"{gain:+.3f}" for gain in gains),
        )
    console.print(shown)
    if not agreement:
        return
    between = table(
        "the same weights on two engines",
        *("engines", "PSNR dB", "largest levels", "mean levels", "values that differ", "apart dB"),
    )
    for (first, second), found in agreement.items():
        between.add_row(
            f"{first} / {second}",
            f"{found.psnr_db:.2f}",
            str(found.largest),
            f"{found.absolute / found.values:.5f}",
            f"{found.differing / found.values:.4%}",
            f"{abs(scores[first].mean - scores[second].mean):.4f}",
        )
    console.print(between)
    console.print("apart: of their PSNR against the native renders")
