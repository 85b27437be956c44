from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.errors import BadRequestError, EngineError
from protocol.frames import PixelFormat, Size
from trainer.methods import AnySize, checkpoint_method, filter_method, model_method
from upscaler.contract import Upscaler
from upscaler.filters.library import make_filter
from upscaler.models.library import Model, find_model

TWO = Fraction(2)
Picture = Callable[[int, int], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def small() -> Model:
    return find_model("quicksrnet-small-x2")


def repeat(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


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


def test_a_filter_is_a_method(picture: Picture) -> None:
    with filter_method("nearest", TWO) as nearest:
        assert (nearest.label, nearest.runs, nearest.emulated) == ("nearest", "filter", False)
        frame = picture(30, 20)
        assert np.array_equal(nearest(frame), repeat(frame))


def test_an_unknown_filter_is_refused_at_once() -> None:
    with pytest.raises(BadRequestError, match="unknown method 'dlss'"):
        filter_method("dlss", TWO)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_model_runs_on_an_engine(engine: str, small: Model, picture: Picture) -> None:
    with model_method(small, engine, threads=1) as method:
        assert method.label == f"quicksrnet-small-x2 (int8, {engine})"
        assert method(picture(30, 20)).shape == (40, 60, 3)


def test_a_float_model_says_so_and_may_be_called_otherwise() -> None:
    model = find_model("quicksrnet-small-x2-float")
    with model_method(model, "onnxruntime", name="mine.onnx") as method:
        assert method.label == "mine.onnx (float32, onnxruntime)"


@pytest.mark.slow
def test_an_emulated_npu_is_labelled(small: Model, picture: Picture) -> None:
    try:
        method = model_method(small, "npu")
    except EngineError as error:
        pytest.skip(str(error))
    with method:
        assert method.emulated == method.label.endswith("npu, emulated)")
        npu = method(picture(32, 24)).astype(int)
    with model_method(small, "onnxruntime") as reference:
        assert np.abs(npu - reference(picture(32, 24))).max() <= 5


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is missing")
def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"absent\.pt"):
        checkpoint_method(tmp_path / "absent.pt")
