from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.openvino import OpenVinoEngine
from upscaler.models import saturation
from upscaler.models.library import Model, shipped
from upscaler.models.saturation import SAFE, avoid_saturation, pairing
from upscaler.models.specialise import specialise

MakeModel = Callable[..., Model]
SIZE = Size(160, 96)
QUANTISED = [model for model in shipped() if model.card.quantised]


def exactly(proto: onnx.ModelProto, frame: Frame) -> Frame:
    """What the graph says: convolutions in float, whose sums of integers are exact."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (result,) = session.run(None, {session.get_inputs()[0].name: frame[None]})
    return np.asarray(result[0])


def layers(proto: onnx.ModelProto) -> list[saturation._Layer]:
    return [saturation._Layer(proto, node) for node in proto.graph.node if node.op_type == "Conv"]


def worst(levels: np.ndarray) -> int:
    """Largest sum of two neighbouring weights of one sign."""
    even = levels.shape[1] // 2 * 2
    first, second = levels[:, 0:even:2], levels[:, 1:even:2]
    positive = first.clip(0) + second.clip(0)
    return int(max(positive.max(), -(first.clip(max=0) + second.clip(max=0)).min()))


@pytest.mark.parametrize("model", QUANTISED, ids=lambda model: model.card.name)
@pytest.mark.parametrize("pixel_format", [PixelFormat.RGB8, PixelFormat.BGRA8])
def test_no_pair_saturates_and_the_model_stays_what_it_is(
    model: Model, pixel_format: PixelFormat
) -> None:
    frame = game_frame(SIZE, pixel_format)
    proto = specialise(model, SIZE, pixel_format)
    expected = exactly(proto, frame).astype(int)
    assert max(worst(layer.levels) for layer in layers(proto)) > SAFE
    avoid_saturation(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert max(worst(layer.levels) for layer in layers(proto)) <= SAFE
    difference = np.abs(exactly(proto, frame) - expected)
    # Steps are up to twice as large, sums of windows are kept: 53 to 58 dB on whole frames.
    assert difference.max() <= 6
    assert 10 * np.log10(255**2 / np.square(difference).mean()) > 50


@pytest.mark.parametrize("model", QUANTISED, ids=lambda model: model.card.name)
@pytest.mark.parametrize("engine", [OpenVinoEngine, OnnxRuntimeEngine])
def test_engines_compute_what_the_model_says(
    model: Model, engine: type[OpenVinoEngine | OnnxRuntimeEngine]
) -> None:
    """On any processor: with VNNI as it stands, without it as it is rewritten."""
    frame = game_frame(SIZE, PixelFormat.RGB8)
    expected = exactly(specialise(model, SIZE, PixelFormat.RGB8), frame).astype(int)
    upscaler = engine().load(model, SIZE, PixelFormat.RGB8)
    result = np.zeros(upscaler.output_shape, np.uint8)
    upscaler(frame, result)
    upscaler.close()
    assert np.abs(result - expected).max() <= 6


def test_reordering_alone_changes_nothing(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    frame = game_frame(SIZE, PixelFormat.RGB8)
    proto = specialise(model, SIZE, PixelFormat.RGB8)
    expected = exactly(proto, frame)
    found = layers(proto)
    order = np.random.default_rng(1).permutation(32)
    found[1].reorder_inputs(order)
    found[0].reorder_outputs(order)
    assert np.array_equal(exactly(proto, frame), expected)


def test_formats_stay_alike() -> None:
    frame = game_frame(SIZE, PixelFormat.RGB8)
    results = []
    for pixel_format in (PixelFormat.RGB8, PixelFormat.BGR8):
        proto = specialise(QUANTISED[-1], SIZE, pixel_format)
        avoid_saturation(proto)
        order = slice(None, None, -1 if pixel_format.blue_first else 1)
        results.append(exactly(proto, np.ascontiguousarray(frame[..., order]))[..., order])
    assert np.array_equal(*results)


def test_pairs_channels_that_get_along() -> None:
    # Channels of large weights get along with those of negative ones, not with one another.
    levels = np.zeros((2, 8, 1, 1), np.int64)
    levels[0, :4], levels[0, 4:] = 100, -60
    levels[1, :4], levels[1, 4:] = -50, 90
    order = pairing(levels)
    assert sorted(order) == list(range(8))
    assert worst(levels) == 200
    assert worst(levels[:, order]) == 100
    assert np.array_equal(pairing(levels), order)


def test_an_odd_number_of_channels_stays_in_order() -> None:
    assert pairing(np.full((1, 3, 1, 1), 127)).tolist() == [0, 1, 2]


def test_coarser_levels_keep_the_sum_of_every_window() -> None:
    levels = np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 3))
    coarser = saturation._coarser(levels, 1.5)
    apart = coarser.sum(axis=(2, 3)) * 1.5 - levels.sum(axis=(2, 3))
    assert np.abs(apart).max() <= 0.75
    assert np.abs(coarser * 1.5 - levels).max() <= 1.5


@pytest.mark.parametrize("colours", [(0, 1), (1, 2)])
def test_green_pairs_with_red_or_blue(colours: tuple[int, int]) -> None:
    levels = np.zeros((1, 3, 3, 3), np.int64)
    for colour in colours:
        levels[0, colour, 1, 2] = 65
    assert saturation._pixels_saturate(levels).tolist() == [True]
    levels[0, colours[0], 1, 2] = 63
    assert saturation._pixels_saturate(levels).tolist() == [False]


def test_red_and_blue_are_no_neighbours() -> None:
    levels = np.zeros((1, 3, 3, 3), np.int64)
    levels[0, 0], levels[0, 2] = 127, 127
    assert saturation._pixels_saturate(levels).tolist() == [False]
