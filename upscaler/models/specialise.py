"""Turns a model for RGB frames of any size into one for frames of one size and pixel format.

Pixel order is a property of the weights, so no frame is ever converted:

- blue first: the first layer's inputs and the last layer's outputs are permuted;
- four channels: the first layer gets an input channel of zero weights, and each pixel of the last
  layer an output of zero weights whose bias saturates to 1.0, 255 in eight bits: opaque.

The last layer's channels stand in DepthToSpace's DCR order, (row, column, colour) with the colour
fastest; so its outputs are S * S whole pixels, one after the other.

In eight bits on the CPU the results equal those of the RGB model exactly, for integers do not mind
the order of a sum. In float the order counts: the last bit of a sum may turn a rounding, by one
level. On the Hexagon emulator up to 0.2% of the values of four-channel results differ by one level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size, upscaled_size
from upscaler.models.library import Model

if TYPE_CHECKING:
    import onnx

RGB = 3
OPAQUE = 2.0
"""Bias of the alpha outputs. From 1.0 on they saturate; a Hexagon rounds exactly 1.0 to 254."""
ALPHA_STEP = 0.5
"""Step of the alpha outputs' weights. The Hexagon back end loses precision in the biases of the
whole layer to a small step here: 0.4% of the values change at the others' steps of 0.008."""


def specialise(model: Model, size: Size, pixel_format: PixelFormat) -> onnx.ModelProto:
    """Return `model` for one frame of `size` (the input's) in `pixel_format`.

    Input (1, height, width, channels) uint8, output the same scaled, both fixed.
    Raises BadRequestError: UNSUPPORTED_SIZE for a size that the model or the limits exclude,
    UNKNOWN_MODEL for a damaged file or one that is no RGB network.
    """
    card = model.card
    if size.width % card.size_multiple or size.height % card.size_multiple:
        msg = (
            f"{card.name} needs sides that are multiples of {card.size_multiple}, not {size}; "
            "crop or pad the frame"
        )
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SIZE)
    upscaled = upscaled_size(size, card.ratio)
    proto = model.proto()
    convolutions = [node for node in proto.graph.node if node.op_type == "Conv"]
    if card.channels != RGB or not convolutions:
        msg = f"{model.path} is no network for RGB frames; export it again"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL)
    weights = _Weights(proto)
    weights.take_inputs(convolutions[0], pixel_format)
    weights.take_outputs(convolutions[-1], pixel_format)
    _fix(proto.graph.input[0], size.shape(pixel_format))
    _fix(proto.graph.output[0], upscaled.shape(pixel_format))
    return proto


def _fix(value: onnx.ValueInfoProto, shape: tuple[int, int, int]) -> None:
    for dimension, side in zip(value.type.tensor_type.shape.dim, (1, *shape), strict=True):
        dimension.dim_value = side


def _colours(pixel_format: PixelFormat) -> list[int]:
    """Which of red, green, blue stands at each place of a pixel."""
    return [2, 1, 0] if pixel_format.blue_first else [0, 1, 2]


class _Weights:
    """The initialisers of a graph, and how to rewrite those of one convolution.

    A convolution takes its weight and bias from initialisers directly (float), or from
    DequantizeLinear over (levels, scale, zero point), each along the output channels (eight bits).
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._initialisers = {value.name: value for value in proto.graph.initializer}
        self._producers = {name: node for node in proto.graph.node for name in node.output}

    def take_inputs(self, convolution: onnx.NodeProto, pixel_format: PixelFormat) -> None:
        """Reorder the input channels; a fourth gets zero weights."""
        name = self._sources(convolution.input[1])[0]
        weight = self._get(name)[:, _colours(pixel_format)]
        if pixel_format.channels > RGB:
            weight = np.concatenate([weight, np.zeros_like(weight[:, :1])], axis=1)
        self._set(name, weight)

    def take_outputs(self, convolution: onnx.NodeProto, pixel_format: PixelFormat) -> None:
        """Reorder the output channels within each pixel; a fourth becomes opaque."""
        weight, *weight_encoding = self._sources(convolution.input[1])
        bias, *bias_encoding = self._sources(convolution.input[2])
        alphas: dict[str, float] = {weight: 0, bias: OPAQUE}
        if bias_encoding:
            input_step = self._get(self._sources(convolution.input[0])[1]).item()
            bias_step = ALPHA_STEP * input_step
            alphas[bias] = round(OPAQUE / bias_step)
            alphas.update(zip(weight_encoding, (ALPHA_STEP, 0), strict=True))
            alphas.update(zip(bias_encoding, (bias_step, 0), strict=True))
        for name, alpha in alphas.items():
            self._set(name, _pixels(self._get(name), pixel_format, alpha))

    def _sources(self, tensor: str) -> list[str]:
        """What is behind an input of a convolution: values, then scale and zero point if any."""
        producer = self._producers.get(tensor)
        return [tensor] if producer is None else list(producer.input)

    def _get(self, name: str) -> NDArray[np.generic]:
        from onnx import numpy_helper

        values: NDArray[np.generic] = numpy_helper.to_array(self._initialisers[name])
        return values

    def _set(self, name: str, values: NDArray[np.generic]) -> None:
        from onnx import numpy_helper

        proto = numpy_helper.from_array(np.ascontiguousarray(values), name)
        self._initialisers[name].CopyFrom(proto)


def _pixels(
    values: NDArray[np.generic], pixel_format: PixelFormat, alpha: float
) -> NDArray[np.generic]:
    """Rewrite values along the last layer's outputs: whole RGB pixels to whole pixels."""
    pixels = values.reshape(-1, RGB, *values.shape[1:])[:, _colours(pixel_format)]
    if pixel_format.channels > RGB:
        filled = np.full_like(pixels[:, :1], alpha)
        pixels = np.concatenate([pixels, filled], axis=1)
    return pixels.reshape(-1, *values.shape[1:])


DEPTH_TO_SPACE_END = ("Transpose", "QuantizeLinear", "DepthToSpace")
"""How a graph ends whose result is nothing but moved bytes, from the output backwards."""


def cut_depth_to_space(
    proto: onnx.ModelProto, *, channels: int
) -> tuple[int, int, int, int] | None:
    """End a specialised eight-bit graph before its DepthToSpace, in place.

    The output is then (1, rows, columns, S * S * channels) uint8: for each pixel of the last
    convolution S * S whole pixels of the result. Returns (rows, columns, S, S * channels), the
    shape in which a caller may see those bytes, or None for a graph that does not end in a
    DepthToSpace: without one, or with the pooled head's average behind it.
    """
    from onnx import helper

    nodes = proto.graph.node
    output = proto.graph.output[0]
    producers = {name: node for node in nodes for name in node.output}
    tensor, unfold = output.name, None
    for kind in DEPTH_TO_SPACE_END:
        unfold = producers.get(tensor)
        if unfold is None or unfold.op_type != kind:
            return None
        tensor = unfold.input[0]
    assert unfold is not None
    block = next(each.i for each in unfold.attribute if each.name == "blocksize")
    levels = producers[tensor].input[0]
    last = nodes[[node.output[0] for node in nodes].index(levels)]
    kept = list(nodes)[: list(nodes).index(last) + 1]
    transpose = helper.make_node("Transpose", [levels], [output.name], perm=[0, 2, 3, 1])
    del nodes[:]
    nodes.extend([*kept, transpose])
    rows, columns = (
        dimension.dim_value // block for dimension in output.type.tensor_type.shape.dim[1:3]
    )
    _fix(output, (rows, columns, block * block * channels))
    return rows, columns, block, block * channels
