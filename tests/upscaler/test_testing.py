from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadRequestError, EngineError
from protocol.frames import SCALES, PixelFormat, Size
from upscaler.bench.latency.results import read_run
from upscaler.contract import Engine, Frame
from upscaler.models.library import Model
from upscaler.testing import FakeEngine, example_card, latency_run, near_identity_weights


def model(scale: Fraction) -> Model:
    return Model(card=example_card(scale, weights_sha256=""), path=Path("nowhere.onnx"))


@pytest.mark.parametrize("scale", SCALES)
def test_the_fake_repeats_pixels(scale: Fraction) -> None:
    engine: Engine = FakeEngine()
    upscaler = engine.load(model(scale), Size(6, 4), PixelFormat.BGRA8)
    src = np.arange(96, dtype=np.uint8).reshape(upscaler.input_shape)
    dst = np.zeros(upscaler.output_shape, np.uint8)
    upscaler(src, dst)
    for y, x in np.ndindex(dst.shape[:2]):
        assert np.array_equal(dst[y, x], src[int(y / scale), int(x / scale)])


def test_the_hook_sees_each_frame_and_may_fail() -> None:
    seen: list[int] = []

    def hook(src: Frame, dst: Frame) -> None:
        seen.append(int(src[0, 0, 0]))
        assert not dst.any()
        if src[0, 0, 0] == 2:
            msg = "as asked"
            raise RuntimeError(msg)

    upscaler = FakeEngine(hook).load(model(Fraction(2)), Size(2, 1), PixelFormat.RGB8)
    for value in (1, 2):
        src = np.full(upscaler.input_shape, value, np.uint8)
        dst = np.zeros(upscaler.output_shape, np.uint8)
        if value == 2:
            with pytest.raises(EngineError, match="fake failed on a frame: as asked"):
                upscaler(src, dst)
        else:
            upscaler(src, dst)
    assert seen == [1, 2]


@pytest.mark.parametrize("scale", SCALES)
def test_weights_have_the_shapes_of_a_small_quicksrnet(scale: Fraction) -> None:
    layers = near_identity_weights(scale)
    parameters = sum(weight.size + bias.size for weight, bias in layers)
    assert [weight.shape[0] for weight, _ in layers[:3]] == [32, 32, 32]
    if scale == 2:
        assert parameters == 22_860
    assert all(weight.dtype == bias.dtype == np.float32 for weight, bias in layers)


def test_latency_is_measured_for_a_suite(tmp_path: Path) -> None:
    run = latency_run(
        "128x72",
        methods="nearest,bicubic",
        frames=12,
        rounds=1,
        source="synthetic",
        budgets=["nearest:p50=0.0001", "bicubic:p50=100000"],
        out=tmp_path,
    )
    assert [miss.key for miss in run.misses] == ["72p/2x/nearest"]
    summary = run.combination("72p", "bicubic").summary
    assert summary is not None
    assert summary.count == 12
    assert read_run(tmp_path) == run
    assert (tmp_path / "report.html").is_file()


def test_a_suite_learns_what_cannot_be_measured() -> None:
    with pytest.raises(BadRequestError, match="unknown target 'big'"):
        latency_run("big")
    with pytest.raises(BadRequestError, match="names nothing that is measured"):
        latency_run("1080p", budgets=["720p:p99=1"])
    with pytest.raises(BadRequestError, match="unknown engine 'unheard-of'"):
        latency_run("128x72", engine="unheard-of")
