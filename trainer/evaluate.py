"""RGB PSNR over whole frames, by game, of anything that upscales."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from protocol.frames import PixelFormat, Size, upscaled_size
from trainer.store import FramePair
from upscaler.contract import Frame, Upscaler
from upscaler.filters.library import make_filter
from upscaler.metrics import psnr_db

Upscale = Callable[[Frame], Frame]
"""From (H, W, 3) uint8 RGB to (scale H, scale W, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScore:
    """PSNR of one frame in dB."""

    name: str
    game: str
    psnr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """PSNR of every frame, ordered as the pairs were."""

    frames: list[FrameScore]

    @property
    def mean_db(self) -> float:
        """Mean over frames."""
        return float(np.mean([frame.psnr_db for frame in self.frames]))

    @property
    def by_game_db(self) -> dict[str, float]:
        """Mean over the frames of each game, ordered by name."""
        games = sorted({frame.game for frame in self.frames})
        return {
            game: float(np.mean([each.psnr_db for each in self.frames if each.game == game]))
            for game in games
        }


def evaluate(upscale: Upscale, pairs: Iterable[FramePair]) -> Evaluation:
    """Upscale the low render of every pair and compare it with the high one."""
    return Evaluation(
        frames=[
            FrameScore(
                name=pair.name, game=pair.game, psnr_db=psnr_db(upscale(pair.low), pair.high)
            )
            for pair in pairs
        ]
    )


def evaluate_filter(method: str, pairs: Iterable[FramePair], scale: Fraction) -> Evaluation:
    """Evaluate a classical filter, such as "bicubic"."""

    def open_filter(size: Size) -> Upscaler:
        return make_filter(method, size, upscaled_size(size, scale), PixelFormat.RGB8)

    with closing(AnySize(open_filter)) as upscale:
        return evaluate(upscale, pairs)


class AnySize:
    """An `Upscale` from a way to open an `Upscaler` for one size; frames may differ in size.

    Keeps one upscaler for each size until closed.
    """

    def __init__(self, open_upscaler: Callable[[Size], Upscaler]) -> None:
        self._open = open_upscaler
        self._opened: dict[Size, Upscaler] = {}
        self._stack = ExitStack()

    def __call__(self, frame: Frame) -> Frame:
        """Upscale into a new array."""
        size = Size(frame.shape[1], frame.shape[0])
        if size not in self._opened:
            self._opened[size] = self._open(size)
            self._stack.callback(self._opened[size].close)
        upscaler = self._opened[size]
        upscaled = np.empty(upscaler.output_shape, np.uint8)
        upscaler(frame, upscaled)
        return upscaled

    def close(self) -> None:
        """Close every upscaler that was opened."""
        self._stack.close()
        self._opened.clear()
