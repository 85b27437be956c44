from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.frames import PixelFormat, Size
from trainer.data import load_split
from trainer.evaluate import AnySize, Evaluation, FrameScore, evaluate, evaluate_filter, frame_of
from upscaler.contract import Upscaler
from upscaler.filters.library import make_filter
from upscaler.metrics import psnr_db

TWO = Fraction(2)


def repeat(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def test_scores_every_frame_against_its_native_render(frames: Path) -> None:
    pairs = load_split(frames, split="test", scale=TWO)
    evaluation = evaluate(repeat, pairs)
    expected = [psnr_db(repeat(frame_of(each.low)), frame_of(each.high)) for each in pairs]
    assert [each.psnr_db for each in evaluation.frames] == expected
    assert [each.name for each in evaluation.frames] == [each.pair.name for each in pairs]


def test_means_are_over_frames() -> None:
    frames = [("b", 30.0), ("a", 20.0), ("b", 32.0)]
    evaluation = Evaluation(
        frames=[FrameScore(name="n", game=game, psnr_db=psnr) for game, psnr in frames]
    )
    assert evaluation.by_game_db == {"a": 20.0, "b": 31.0}
    assert list(evaluation.by_game_db) == ["a", "b"]
    assert evaluation.mean_db == pytest.approx(82 / 3)


def test_a_filter_is_an_upscaler_like_any_other(frames: Path) -> None:
    pairs = load_split(frames, split="test", scale=TWO)
    assert evaluate_filter("nearest", pairs, TWO).mean_db == evaluate(repeat, pairs).mean_db
    assert evaluate_filter("bicubic", pairs, TWO).mean_db > 15


def test_frames_of_several_sizes_open_one_upscaler_each_and_close_all() -> None:
    opened: list[Upscaler] = []
    closed: list[Upscaler] = []

    def open_nearest(size: Size) -> Upscaler:
        large = Size(2 * size.width, 2 * size.height)
        upscaler = make_filter("nearest", size, large, PixelFormat.RGB8)
        close = upscaler.close

        def noted() -> None:
            closed.append(upscaler)
            close()

        upscaler.close = noted  # type: ignore[method-assign]
        opened.append(upscaler)
        return upscaler

    random = np.random.default_rng(1)
    small, wide = (random.integers(0, 256, (5, side, 3), np.uint8) for side in (6, 9))
    upscale = AnySize(open_nearest)
    for frame in (small, wide, small):
        assert np.array_equal(upscale(frame), repeat(frame))
    assert len(opened) == 2
    upscale.close()
    upscale.close()
    assert sorted(map(id, closed)) == sorted(map(id, opened))
