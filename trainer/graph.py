"""Writes the deployed graphs: uint8 NHWC in, uint8 NHWC out, no size inside.

The quantised graph has one encoding for every activation, scale 1/255 and zero-point 0: a pixel
is already a quantised number, and saturation to 0..255 is the network's clip. So there is no Clip,
and no normalisation. Weights are int8, symmetric, one scale per output channel; biases are int32
at scale (input scale) * (weight scale).

What the network is compared with is written into the same graph. Per-tensor weights are equal
scales for all channels, so that every runtime takes the same path. Hidden activations that no clip
bounds have a scale of their own, still with zero-point 0: saturation from below is the ReLU. The
pooled head averages behind depth-to-space, and rounds once more. The frames at both ends are
pixels always. A residual exists in float only.

Four details make each runtime execute nothing but uint8 NHWC convolutions and a depth-to-space,
without a conversion or a layout change (read off their executed graphs). Times: OpenVINO 2026.4,
two Zen 4 cores, fastest of 80.
- ONNX has no layout for NHWC convolutions, hence a Transpose at each end; all runtimes fold both.
- The input is dequantised, quantised and dequantised again. OpenVINO takes that first pair for a
  quantised activation; without it the first layer runs in bfloat16 behind a transpose and three
  conversions: 36.9 ms against 33.3 ms, 540p to 1080p. The other two runtimes drop the pair.
- Depth-to-space only moves bytes, yet stands between DequantizeLinear and QuantizeLinear: the
  Hexagon back end refuses it bare. It is of the DCR kind, with the last layer's channels permuted
  to suit, for that is what every runtime implements without a transpose of its own.
- At 1.5x, space-to-depth(2) and the 1x1 convolution after it are written as one 2x2 convolution of
  stride 2: the same sums. OpenVINO runs space-to-depth in float: 56.0 ms against 48.0 ms, 720p to
  1080p.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
LEVELS = 255
PIXEL_SCALE = float(np.float32(1 / LEVELS))
INPUT, OUTPUT = "low_resolution", "upscaled"
ACTIVATION_SCALE, ACTIVATION_ZERO = "activation_scale", "activation_zero_point"
NEAREST = {
    "mode": "nearest",
    "nearest_mode": "floor",
    "coordinate_transformation_mode": "asymmetric",
}
"""Attributes of a Resize that shows pixel floor(y / scale) in row y, as PyTorch does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """One layer in float: `weight` (out, in, k, k) and `bias` (out,) float32.

    `weight_scale` (out,) float32 is the step of the int8 weights, None in the float graph.
    `activation_scale` is the step of the layer's output in the quantised graph.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    weight_scale: NDArray[np.float32] | None = None
    activation_scale: float = PIXEL_SCALE


def dcr_order(channels: int, upsampling: int) -> NDArray[np.intp]:
    """Source index for each output channel, from CRD (c, y, x) to DCR (y, x, c) order."""
    crd = np.arange(channels * upsampling**2).reshape(channels, upsampling, upsampling)
    return crd.transpose(1, 2, 0).reshape(-1)


class _Graph:
    """Collects nodes and initialisers, and names tensors."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        # Scalars stay scalars: onnxruntime pools with no other encoding.
        self.initialisers.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        name = f"{output}/{kind}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def quantised(self, kind: str, tensor: str, output: str, scale: str = ACTIVATION_SCALE) -> str:
        """Add a DequantizeLinear or QuantizeLinear in the encoding of pixels, or of `scale`."""
        return self.add(kind, [tensor, scale, ACTIVATION_ZERO], output)

    def model(self, channels: int) -> onnx.ModelProto:
        frame = ["batch", "height", "width", channels]
        upscaled = ["batch", "upscaled_height", "upscaled_width", channels]
        graph = helper.make_graph(
            self.nodes,
            "quicksrnet",
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, frame)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, upscaled)],
            self.initialisers,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
        )
        model.producer_name = "upscaler"
        onnx.checker.check_model(model, full_check=True)
        return model


def quantised_graph(
    layers: list[Convolution], scale: Fraction, *, pooled: bool = False
) -> onnx.ModelProto:
    """Write the W8A8 graph of a QuickSRNet; every layer needs its `weight_scale`.

    Raises ValueError when a layer has none, or when results are no pixels.
    """
    if not _is_pixels(layers[-1].activation_scale):
        msg = f"results are pixels, of step 1/255, not {layers[-1].activation_scale:g}"
        raise ValueError(msg)
    graph = _Graph()
    graph.constant(ACTIVATION_SCALE, np.array(1 / LEVELS, np.float32))
    graph.constant(ACTIVATION_ZERO, np.array(0, np.uint8))
    tensor = graph.add("Transpose", [INPUT], "frame_nchw", perm=[0, 3, 1, 2])
    tensor = graph.quantised("DequantizeLinear", tensor, "frame_real")
    tensor = graph.quantised("QuantizeLinear", tensor, "frame")
    encoding = _Encoding(ACTIVATION_SCALE, np.float32(PIXEL_SCALE))
    for index, layer in enumerate(_prepared(layers, scale, pooled=pooled)):
        tensor, encoding = _quantised_convolution(graph, tensor, encoding, layer, f"conv{index}")
    values = graph.quantised("DequantizeLinear", tensor, "folded")
    values = graph.add("DepthToSpace", [values], "unfolded", blocksize=scale.numerator, mode="DCR")
    tensor = graph.quantised("QuantizeLinear", values, "upscaled_nchw")
    if pooled:
        values = graph.quantised("DequantizeLinear", tensor, "oversized")
        values = graph.add("AveragePool", [values], "pooled", **_pooling(scale))
        tensor = graph.quantised("QuantizeLinear", values, "pooled_nchw")
    graph.add("Transpose", [tensor], OUTPUT, perm=[0, 2, 3, 1])
    return graph.model(_channels(layers, scale))


def float_graph(
    layers: list[Convolution],
    scale: Fraction,
    *,
    pooled: bool = False,
    relu: bool = False,
    residual: bool = False,
) -> onnx.ModelProto:
    """Write the float32 graph with the same uint8 NHWC input and output: the reference.

    With `relu`, hidden activations are not bounded above. With `residual`, the nearest-neighbour
    upscaled input is added ahead of the last clip.
    """
    graph = _Graph()
    graph.constant("levels", np.array(LEVELS, np.float32))
    graph.constant("zero", np.array(0, np.float32))
    graph.constant("one", np.array(1, np.float32))
    tensor = graph.add("Transpose", [INPUT], "frame_nchw", perm=[0, 3, 1, 2])
    tensor = graph.add("Cast", [tensor], "frame_float", to=TensorProto.FLOAT)
    frame = tensor = graph.add("Div", [tensor, "levels"], "frame_unit")
    for index, layer in enumerate(_prepared(layers, scale, pooled=pooled)):
        name = f"conv{index}"
        weight = graph.constant(f"{name}.weight", layer.weight)
        bias = graph.constant(f"{name}.bias", layer.bias)
        tensor = graph.add("Conv", [tensor, weight, bias], name, **_window(layer))
        if index < len(layers) - 1 and relu:
            tensor = graph.add("Relu", [tensor], f"{name}.clipped")
        elif index < len(layers) - 1 or not residual:
            tensor = graph.add("Clip", [tensor, "zero", "one"], f"{name}.clipped")
    tensor = graph.add("DepthToSpace", [tensor], "unfolded", blocksize=scale.numerator, mode="DCR")
    if residual:
        grown = scale.numerator if pooled else float(scale)
        graph.constant("growth", np.array([1, 1, grown, grown], np.float32))
        repeated = graph.add("Resize", [frame, "", "growth"], "repeated", **NEAREST)
        tensor = graph.add("Add", [tensor, repeated], "sum")
        tensor = graph.add("Clip", [tensor, "zero", "one"], "sum.clipped")
    if pooled:
        tensor = graph.add("AveragePool", [tensor], "pooled", **_pooling(scale))
    tensor = graph.add("Mul", [tensor, "levels"], "levels_float")
    tensor = graph.add("Round", [tensor], "levels_rounded")
    tensor = graph.add("Cast", [tensor], "levels_uint8", to=TensorProto.UINT8)
    graph.add("Transpose", [tensor], OUTPUT, perm=[0, 2, 3, 1])
    return graph.model(_channels(layers, scale))


class _Encoding(NamedTuple):
    """Encoding of an activation: the initialiser of its step, and the step."""

    name: str
    step: np.float32


def _quantised_convolution(
    graph: _Graph, tensor: str, encoding: _Encoding, layer: Convolution, name: str
) -> tuple[str, _Encoding]:
    """Add a layer whose input is `tensor` in `encoding`; return its output and its encoding."""
    if layer.weight_scale is None:
        msg = f"{name} has no weight scale: quantise the network first"
        raise ValueError(msg)
    scales = layer.weight_scale.astype(np.float32)
    # The simulation has rounded the weights (AdaRound) already; this recovers their integers.
    levels = np.rint(layer.weight / scales[:, None, None, None]).clip(-127, 127)
    bias_scales = scales * encoding.step
    bias = np.rint(layer.bias.astype(np.float64) / bias_scales)
    graph.constant(f"{name}.weight", levels.astype(np.int8))
    graph.constant(f"{name}.weight_scale", scales)
    graph.constant(f"{name}.weight_zero_point", np.zeros(len(scales), np.int8))
    graph.constant(f"{name}.bias", bias.astype(np.int32))
    graph.constant(f"{name}.bias_scale", bias_scales)
    graph.constant(f"{name}.bias_zero_point", np.zeros(len(scales), np.int32))
    values = graph.quantised("DequantizeLinear", tensor, f"{name}.in", encoding.name)
    parts = [values]
    for part in ("weight", "bias"):
        inputs = [f"{name}.{part}", f"{name}.{part}_scale", f"{name}.{part}_zero_point"]
        parts.append(graph.add("DequantizeLinear", inputs, f"{name}.{part}_real", axis=0))
    summed = graph.add("Conv", parts, f"{name}.out", **_window(layer))
    output = _Encoding(ACTIVATION_SCALE, np.float32(PIXEL_SCALE))
    if not _is_pixels(layer.activation_scale):
        step = np.float32(layer.activation_scale)
        output = _Encoding(graph.constant(f"{name}.activation_scale", np.array(step)), step)
    return graph.quantised("QuantizeLinear", summed, f"{name}.levels", output.name), output


def _is_pixels(activation_scale: float) -> bool:
    return bool(np.isclose(activation_scale, PIXEL_SCALE, rtol=1e-6, atol=0))


def _pooling(scale: Fraction) -> dict[str, list[int]]:
    """Attributes of the pooled head's average."""
    side = [scale.denominator] * 2
    return {"kernel_shape": side, "strides": side}


def _window(layer: Convolution) -> dict[str, list[int]]:
    """Attributes of a convolution: odd kernels keep the size, even ones divide it."""
    kernel = layer.weight.shape[-1]
    if kernel % 2:
        return {"kernel_shape": [kernel, kernel], "pads": [kernel // 2] * 4}
    return {"kernel_shape": [kernel, kernel], "strides": [kernel, kernel]}


def _channels(layers: list[Convolution], scale: Fraction) -> int:
    return int(layers[-1].weight.shape[0] // scale.numerator**2)


def _prepared(layers: list[Convolution], scale: Fraction, *, pooled: bool) -> list[Convolution]:
    """Rewrite the last layer for the operators around it.

    Outputs go from PyTorch's order (colour, y, x) to that of DepthToSpace, (y, x, colour). At 1.5x
    the inputs (feature, y, x) of the 1x1 kernel become a kernel over y and x, unless the head is
    the pooled one, whose kernel is 3x3.
    """
    last = layers[-1]
    out = dcr_order(_channels(layers, scale), scale.numerator)
    weight = last.weight[out]
    if scale.denominator > 1 and not pooled:
        weight = weight.reshape(len(weight), -1, scale.denominator, scale.denominator)
    scales = None if last.weight_scale is None else last.weight_scale[out]
    rewritten = replace(last, weight=weight, bias=last.bias[out], weight_scale=scales)
    return [*layers[:-1], rewritten]
