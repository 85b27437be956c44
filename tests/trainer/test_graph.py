from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from protocol.frames import SCALES
from trainer.graph import INPUT, Convolution, dcr_order, float_graph, quantised_graph
from upscaler.engines.onnxruntime import EXACT_PRODUCTS
from upscaler.testing import near_identity_weights

FRAME = np.random.default_rng(2).integers(0, 256, (1, 6, 8, 3), dtype=np.uint8)


REACH = 1.7
"""Largest hidden activation where no clip bounds them."""


def layers(
    scale: Fraction, *, noise: float = 0.05, pooled: bool = False, reach: float = 1.0
) -> list[Convolution]:
    made = [
        Convolution(
            weight=weight,
            bias=bias,
            weight_scale=np.abs(weight).max(axis=(1, 2, 3), initial=0.01) / np.float32(127),
            activation_scale=reach / 255,
        )
        for weight, bias in near_identity_weights(
            scale, width=8, depth=1, noise=noise, pooled=pooled
        )
    ]
    return [*made[:-1], replace(made[-1], activation_scale=1 / 255)]


def run(proto: onnx.ModelProto, frame: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(EXACT_PRODUCTS, "1")
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (result,) = session.run(None, {INPUT: frame})
    return result


def convolve(planes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(C, H, W) with (out, C, k, k), same size, in float64."""
    pad = weight.shape[-1] // 2
    padded = np.pad(planes.astype(np.float64), ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    return np.einsum("chwyx,ocyx->ohw", windows, weight)


def expected(
    network: list[Convolution],
    scale: Fraction,
    *,
    quantised: bool,
    pooled: bool = False,
    relu: bool = False,
    residual: bool = False,
) -> np.ndarray:
    """The network as PyTorch would run it: pixel-unshuffle, convolutions, pixel-shuffle."""
    frame = planes = FRAME[0].transpose(2, 0, 1).astype(np.float64)
    block, upsampling = 1 if pooled else scale.denominator, scale.numerator
    step = 1 / 255
    for index, layer in enumerate(network):
        is_last = index == len(network) - 1
        if is_last and block > 1:
            count, height, width = planes.shape
            planes = planes.reshape(count, height // block, block, width // block, block)
            planes = planes.transpose(0, 2, 4, 1, 3).reshape(-1, height // block, width // block)
        weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
        if quantised:
            assert layer.weight_scale is not None
            scales = layer.weight_scale.astype(np.float64)
            weight = np.rint(weight / scales[:, None, None, None]) * scales[:, None, None, None]
            bias = np.rint(bias / (scales * step)) * (scales * step)
        planes = convolve(planes * step, weight) + bias[:, None, None]
        step = layer.activation_scale if quantised else 1 / 255
        planes /= step
        if not (is_last and residual):
            planes = planes.clip(0, np.inf if relu and not is_last and not quantised else 255)
        if quantised:
            planes = np.rint(planes)
    _, height, width = planes.shape
    planes = planes.reshape(3, upsampling, upsampling, height, width).transpose(0, 3, 1, 4, 2)
    planes = planes.reshape(3, height * upsampling, width * upsampling)
    if residual:
        rows, columns = (
            np.arange(side) * small // side
            for side, small in zip(planes.shape[1:], frame.shape[1:], strict=True)
        )
        planes = (planes + frame[:, rows[:, None], columns]).clip(0, 255)
    if pooled:
        side = scale.denominator
        _, height, width = planes.shape
        planes = planes.reshape(3, height // side, side, width // side, side).mean(axis=(2, 4))
    return np.rint(planes).transpose(1, 2, 0)


def assert_same(result: np.ndarray, other: np.ndarray, *, share: float = 0.01) -> None:
    # A sum that ends on a half may round either way in float32.
    difference = np.abs(result.astype(int) - other)
    assert difference.max() <= 1
    assert (difference > 0).mean() < share


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("quantised", [True, False])
def test_the_graph_computes_the_network(scale: Fraction, *, quantised: bool) -> None:
    network = layers(scale)
    proto = (quantised_graph if quantised else float_graph)(network, scale)
    assert_same(run(proto, FRAME)[0], expected(network, scale, quantised=quantised))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("quantised", [True, False])
def test_activations_without_an_upper_clip(scale: Fraction, *, quantised: bool) -> None:
    network = layers(scale, reach=REACH)
    network[0].weight[:] *= 1.5
    network[0].weight_scale[:] *= 1.5
    proto = quantised_graph(network, scale) if quantised else float_graph(network, scale, relu=True)
    result = run(proto, FRAME)[0]
    assert_same(result, expected(network, scale, quantised=quantised, relu=True))
    clipped = run(float_graph(network, scale), FRAME)[0]
    assert np.abs(result.astype(int) - clipped).max() > 20


@pytest.mark.parametrize("quantised", [True, False])
@pytest.mark.parametrize("reach", [1.0, REACH])
def test_the_pooled_head_averages(reach: float, *, quantised: bool) -> None:
    scale = Fraction(3, 2)
    network = layers(scale, pooled=True, reach=reach)
    write = quantised_graph if quantised else float_graph
    result = run(write(network, scale, pooled=True), FRAME)[0]
    assert result.shape == (9, 12, 3)
    # The mean of four integers lies halfway between two of them one time in four.
    same = expected(network, scale, quantised=quantised, pooled=True)
    assert_same(result, same, share=0.25 if quantised else 0.01)


@pytest.mark.parametrize(
    ("scale", "pooled"), [*((scale, False) for scale in SCALES), (Fraction(3, 2), True)]
)
def test_a_residual_adds_the_repeated_frame(scale: Fraction, *, pooled: bool) -> None:
    network = layers(scale, pooled=pooled)
    network[-1].weight[:] *= 0.2
    options = {"pooled": pooled, "residual": True}
    result = run(float_graph(network, scale, **options), FRAME)[0]
    assert_same(result, expected(network, scale, quantised=False, **options))


@pytest.mark.parametrize("scale", SCALES)
def test_equal_scales_are_per_tensor_weights_in_the_same_graph(scale: Fraction) -> None:
    per_channel = layers(scale)
    network = [
        replace(each, weight_scale=np.full_like(each.weight_scale, each.weight_scale.max()))
        for each in per_channel
    ]
    proto = quantised_graph(network, scale)
    assert_same(run(proto, FRAME)[0], expected(network, scale, quantised=True))
    assert proto.graph.node == quantised_graph(per_channel, scale).graph.node


def test_the_result_must_be_pixels() -> None:
    network = layers(Fraction(2))
    network[-1] = replace(network[-1], activation_scale=2 / 255)
    with pytest.raises(ValueError, match=r"results are pixels, of step 1/255, not 0\.00784"):
        quantised_graph(network, Fraction(2))


@pytest.mark.parametrize("scale", SCALES)
def test_the_identity_network_repeats_pixels(scale: Fraction) -> None:
    result = run(quantised_graph(layers(scale, noise=0), scale), FRAME)[0]
    rows, columns = (np.arange(int(side * scale)) * 1 // scale for side in FRAME.shape[1:3])
    assert np.array_equal(result, FRAME[0][rows.astype(int)[:, None], columns.astype(int)])


@pytest.mark.parametrize("scale", SCALES)
def test_the_quantised_graph_is_integers_from_end_to_end(scale: Fraction) -> None:
    network = layers(scale)
    graph = quantised_graph(network, scale).graph
    assert Counter(node.op_type for node in graph.node) == {
        "Transpose": 2,
        "Conv": len(network),
        "DepthToSpace": 1,
        "QuantizeLinear": 1 + len(network) + 1,
        "DequantizeLinear": 1 + 3 * len(network) + 1,
    }
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert not any(side.dim_value for side in value.type.tensor_type.shape.dim[:3])


def test_any_batch_and_size() -> None:
    proto = quantised_graph(layers(Fraction(2)), Fraction(2))
    frames = np.concatenate([FRAME, FRAME[:, ::-1]])
    assert np.array_equal(run(proto, frames)[:1], run(proto, FRAME))
    assert run(proto, FRAME[:, :2, :3]).shape == (1, 4, 6, 3)


def test_dcr_puts_the_colour_last() -> None:
    assert dcr_order(3, 2).tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


def test_a_layer_without_a_weight_scale_is_refused() -> None:
    network = layers(Fraction(2))
    network[1] = Convolution(weight=network[1].weight, bias=network[1].bias)
    with pytest.raises(ValueError, match="conv1 has no weight scale: quantise the network first"):
        quantised_graph(network, Fraction(2))
