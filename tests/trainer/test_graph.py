from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from protocol.frames import SCALES
from trainer.graph import INPUT, Convolution, dcr_order, float_graph, quantised_graph
from upscaler.testing import near_identity_weights

FRAME = np.random.default_rng(2).integers(0, 256, (1, 6, 8, 3), dtype=np.uint8)


def layers(scale: Fraction, *, noise: float = 0.05) -> list[Convolution]:
    return [
        Convolution(
            weight=weight,
            bias=bias,
            weight_scale=np.abs(weight).max(axis=(1, 2, 3), initial=0.01) / np.float32(127),
        )
        for weight, bias in near_identity_weights(scale, width=8, depth=1, noise=noise)
    ]


def run(proto: onnx.ModelProto, frame: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (result,) = session.run(None, {INPUT: frame})
    return result


def convolve(planes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(C, H, W) with (out, C, k, k), same size, in float64."""
    pad = weight.shape[-1] // 2
    padded = np.pad(planes.astype(np.float64), ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    return np.einsum("chwyx,ocyx->ohw", windows, weight)


def expected(network: list[Convolution], scale: Fraction, *, quantised: bool) -> np.ndarray:
    """The network as PyTorch would run it: pixel-unshuffle, convolutions, pixel-shuffle."""
    planes = FRAME[0].transpose(2, 0, 1).astype(np.float64)
    block, upsampling = scale.denominator, scale.numerator
    for index, layer in enumerate(network):
        if index == len(network) - 1 and block > 1:
            count, height, width = planes.shape
            planes = planes.reshape(count, height // block, block, width // block, block)
            planes = planes.transpose(0, 2, 4, 1, 3).reshape(-1, height // block, width // block)
        weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
        if quantised:
            assert layer.weight_scale is not None
            step = layer.weight_scale.astype(np.float64)
            weight = np.rint(weight / step[:, None, None, None]) * step[:, None, None, None]
            bias = np.rint(bias / (step / 255)) * (step / 255)
        planes = (convolve(planes, weight) + 255 * bias[:, None, None]).clip(0, 255)
        if quantised:
            planes = np.rint(planes)
    _, height, width = planes.shape
    planes = planes.reshape(3, upsampling, upsampling, height, width).transpose(0, 3, 1, 4, 2)
    return np.rint(planes.reshape(3, height * upsampling, width * upsampling)).transpose(1, 2, 0)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("quantised", [True, False])
def test_the_graph_computes_the_network(scale: Fraction, *, quantised: bool) -> None:
    network = layers(scale)
    proto = (quantised_graph if quantised else float_graph)(network, scale)
    result = run(proto, FRAME)[0].astype(int)
    difference = np.abs(result - expected(network, scale, quantised=quantised))
    # A sum that ends on a half may round either way in float32.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


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
