from __future__ import annotations

import numpy as np
import pytest

from protocol.errors import BadRequestError, EngineError
from protocol.frames import PixelFormat, Size
from upscaler.bench.reuse import SCENES, TURN, _scene, measure, run
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.models.library import find_model
from upscaler.testing import FakeEngine


def test_prints_every_scene(capsys: pytest.CaptureFixture[str]) -> None:
    run(
        size=(160, 120),
        scale="2",
        pixel_format="rgb8",
        engine="onnxruntime",
        rounds=3,
        threads=1,
    )
    printed = capsys.readouterr().out
    assert "160x120 to 320x240 rgb8, quicksrnet-small onnxruntime, 1 threads" in printed
    for label in SCENES:
        assert label in printed


def test_scenes_change_as_much_as_they_say() -> None:
    still = np.zeros((90, 160, 3), np.uint8)
    moving = [still, *(np.full_like(still, at) for at in range(1, 2 * TURN))]
    shares = {
        label: np.mean([(frame != 0).any(axis=2).mean() for frame in _scene(moving, paint, 1)])
        for label, paint in SCENES.items()
    }
    assert shares["still"] == 0
    assert shares["a cursor, 32x32"] == 32 * 32 / (90 * 160)
    assert shares["a HUD, 1/18 of the frame"] == pytest.approx(1 / 18)
    assert shares["half of the frame"] == 0.5
    assert shares["everything"] == 1


def test_a_difference_is_an_error() -> None:
    model, size = find_model("quicksrnet-small-x2"), Size(40, 24)
    network = OnnxRuntimeEngine().load(model, size, PixelFormat.RGB8)
    other = FakeEngine().load(model, size, PixelFormat.RGB8)
    frame = np.random.default_rng(0).integers(0, 256, network.input_shape, np.uint8)
    assert [len(each) for each in measure(network, network, [frame])] == [1, 1]
    with pytest.raises(EngineError, match="with reuse differs"):
        measure(network, other, [frame])


def test_a_size_that_cannot_be_upscaled() -> None:
    with pytest.raises(BadRequestError):
        run(
            size=(9000, 10),
            scale="2",
            pixel_format="rgb8",
            engine="onnxruntime",
            rounds=3,
            threads=1,
        )
