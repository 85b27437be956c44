from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import inf
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from protocol.errors import BadImageError
from trainer.data import load_pairs
from trainer.evaluate import (
    MEASURES,
    Evaluation,
    FrameScore,
    evaluate,
    evaluate_filter,
    evaluate_flicker,
    evaluate_model,
    sequences_of,
)
from trainer.store import FramePair
from upscaler.machine import saturates_pairs
from upscaler.metrics import psnr_db
from upscaler.models.library import find_model

TWO = Fraction(2)
BSD100 = Path(__file__).parents[3] / "shared" / "data" / "sr" / "BSD100_x2"


@pytest.fixture(scope="module")
def pairs(frames: Path) -> list[FramePair]:
    return load_pairs(frames, split="test", scale=TWO)


def repeat(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def test_scores_every_frame_against_its_native_render(pairs: list[FramePair]) -> None:
    evaluation = evaluate(repeat, pairs)
    assert [each.name for each in evaluation.frames] == [each.name for each in pairs]
    for frame, pair in zip(evaluation.frames, pairs, strict=True):
        assert frame.psnr_db == psnr_db(repeat(pair.low), pair.high)
        expected = peak_signal_noise_ratio(pair.high, repeat(pair.low), data_range=255)
        assert frame.psnr_db == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("shave", [0, 2])
def test_all_metrics_agree_with_scikit_image(pairs: list[FramePair], shave: int) -> None:
    evaluation = evaluate(repeat, pairs[:1], metrics=["psnr_db", "ssim_rgb"], shave=shave)
    height, width = pairs[0].high.shape[:2]
    inside = slice(shave, height - shave), slice(shave, width - shave)
    upscaled, native = repeat(pairs[0].low)[inside], pairs[0].high[inside]
    psnr = peak_signal_noise_ratio(native, upscaled, data_range=255)
    ssim = structural_similarity(
        native,
        upscaled,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
    )
    assert evaluation.shave == shave
    assert evaluation.mean("psnr_db") == pytest.approx(psnr, abs=1e-3)
    assert evaluation.mean("ssim_rgb") == pytest.approx(ssim, abs=1e-4)


def test_only_what_was_asked_for_is_measured(pairs: list[FramePair]) -> None:
    (quick,) = evaluate(repeat, pairs[:1]).frames
    assert (quick.psnr_y_db, quick.ssim_rgb, quick.ssim_y, quick.flip) == (None,) * 4
    luma = evaluate(repeat, pairs[:1], metrics=["ssim_y", "psnr_y_db"])
    assert luma.frames[0].psnr_db is None
    assert luma.mean("psnr_y_db") > 10
    with pytest.raises(ValueError, match=r"psnr_db was not measured on .*; ask evaluate for it"):
        luma.mean("psnr_db")


def test_every_metric_has_a_field() -> None:
    frame = FrameScore(name="n", game="g", **dict.fromkeys(MEASURES, 1.0))
    evaluation = Evaluation(frames=[frame])
    assert [evaluation.mean(metric) for metric in MEASURES] == [1.0] * len(MEASURES)


def test_means_are_over_frames() -> None:
    frames = [("b", 30.0), ("a", 20.0), ("b", 32.0)]
    evaluation = Evaluation(
        frames=[FrameScore(name="n", game=game, psnr_db=psnr) for game, psnr in frames]
    )
    assert evaluation.by_game_db == {"a": 20.0, "b": 31.0}
    assert list(evaluation.by_game_db) == ["a", "b"]
    assert evaluation.mean_db == pytest.approx(82 / 3)


def test_a_perfect_upscaler(pairs: list[FramePair]) -> None:
    native = {pair.low.tobytes(): pair.high for pair in pairs}
    perfect = evaluate(
        lambda low: native[low.tobytes()], pairs, metrics=["psnr_db", "psnr_y_db", "ssim_rgb"]
    )
    assert perfect.mean_db == perfect.mean("psnr_y_db") == inf
    assert perfect.mean("ssim_rgb") == pytest.approx(1)


def test_a_filter_is_evaluated_by_name(pairs: list[FramePair]) -> None:
    assert evaluate_filter("nearest", pairs, TWO).mean_db == evaluate(repeat, pairs).mean_db
    assert evaluate_filter("bicubic", pairs, TWO).mean_db > 15


def test_a_model_is_evaluated_on_any_engine(pairs: list[FramePair]) -> None:
    model = find_model("quicksrnet-small-x2")
    openvino, reference = (
        evaluate_model(model, engine, pairs, metrics=["psnr_db", "ssim_y"])
        for engine in ("openvino", "onnxruntime")
    )
    # Without VNNI OpenVINO's weights are a little coarser: see upscaler.models.saturation.
    apart_db = 0.1 if saturates_pairs() else 0.01
    assert openvino.mean_db == pytest.approx(reference.mean_db, abs=apart_db)
    assert openvino.mean("ssim_y") == pytest.approx(reference.mean("ssim_y"), abs=1e-3)


@pytest.mark.parametrize(
    ("metric", "shave", "reason"),
    [("ssim_rgb", 67, "SSIM needs 11x11 pixels, not 58x10"), ("psnr_db", 72, "picture of 192x144")],
)
def test_a_frame_of_which_too_little_is_left_is_named(
    pairs: list[FramePair], metric: str, shave: int, reason: str
) -> None:
    with pytest.raises(BadImageError, match=rf"^{pairs[0].name} cannot be scored: .*{reason}"):
        evaluate(repeat, pairs, metrics=[metric], shave=shave)


@pytest.mark.skipif(not BSD100.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize(("shave", "known_db"), [(0, 29.57), (2, 29.56)])
def test_bicubic_on_bsd100_is_the_known_figure(shave: int, known_db: float) -> None:
    pairs = load_pairs(BSD100, split="test", scale=TWO)
    assert len(pairs) == 100
    bicubic = evaluate_filter("bicubic-matlab", pairs, TWO, metrics=["psnr_y_db"], shave=shave)
    assert round(bicubic.mean("psnr_y_db"), 2) == known_db


def moving(count: int, *, scene: str = "s", width: int = 96) -> list[FramePair]:
    """A camera that moves to the right by 4 native pixels a frame, over noise that is soft."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (18, 60, 3), np.uint8)
    world = coarse.repeat(4, axis=0).repeat(4, axis=1)
    frames = []
    for index in range(count):
        high = np.ascontiguousarray(world[:, 4 * index : 4 * index + width])
        pair = FramePair(
            name=f"{scene}/{index:03}",
            game="g",
            scene=scene,
            licence="",
            split="sequence",
            low=np.ascontiguousarray(high[::2, ::2]),
            high=high,
        )
        frames.append(pair)
    return frames


def test_sequences_are_scenes_in_the_order_of_time() -> None:
    first, second = moving(3, scene="a"), moving(2, scene="b")
    assert sequences_of([second[1], first[2], first[0], second[0], first[1]]) == [first, second]


def test_sequences_need_neighbours_of_one_size() -> None:
    with pytest.raises(BadImageError, match="a/000 is alone in its scene"):
        sequences_of(moving(1, scene="a"))
    odd = replace(moving(2)[1], high=np.zeros((72, 90, 3), np.uint8))
    with pytest.raises(BadImageError, match="s/001 has another size than s/000"):
        sequences_of([moving(2)[0], odd])


def test_flicker_of_a_step_is_named_after_its_later_frame() -> None:
    told: list[None] = []
    nearest, blinking = evaluate_flicker(
        [repeat, Blinking()], [moving(4)], advance=lambda: told.append(None)
    )
    assert [step.name for step in nearest] == ["s/001", "s/002", "s/003"]
    assert len(told) == 6
    assert all(step.visible > 0.2 for step in nearest)
    # Blocks of 4 pixels that move by 4 are repeated without an error.
    assert [step.levels for step in nearest] == [0, 0, 0]
    assert [step.levels for step in blinking] == pytest.approx([40, 40, 40], abs=8)


class Blinking:
    """Repeats pixels, darker in every second frame by 40 levels at most."""

    def __init__(self) -> None:
        self.dark = False

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.dark = not self.dark
        return repeat(np.maximum(frame, 40) - 40 if self.dark else frame)


def test_a_cut_is_left_out() -> None:
    black = [
        replace(pair, name=f"s/{index + 3:03}", low=0 * pair.low, high=0 * pair.high)
        for index, pair in enumerate(moving(2))
    ]
    (steps,) = evaluate_flicker([repeat], sequences_of([*moving(3), *black]))
    assert [step.name for step in steps] == ["s/001", "s/002", "s/004"]


def test_frames_too_small_for_flicker_are_named() -> None:
    tiny = [replace(pair, low=pair.low[:4], high=pair.high[:8]) for pair in moving(2)]
    with pytest.raises(BadImageError, match="s/001 cannot be scored: motion needs sides"):
        evaluate_flicker([repeat], [tiny])
