"""What a specialised graph looks at and what it costs, read off its nodes.

A *cell* is the smallest square of the input whose results are a square of their own: one pixel at
whole scales, 2x2 pixels at 1.5x, which become 3x3. Cells are alike: whatever is true of one is true
of all, away from the frame's border. There each convolution sees zeros, so a cut of a frame gives
the frame's results where the two share a border, and `reach` pixels inside every other one.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import Size

if TYPE_CHECKING:
    import onnx

POINTWISE = {"Cast", "Clip", "DequantizeLinear", "Div", "Mul", "QuantizeLinear", "Relu", "Round"}
"""Operators of one input whose result at a place depends on that place alone."""
MOVES = {"Transpose"}
"""Operators that change the layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Facts of a network, in pixels of its input.

    `cell` is the side of a cell; a cell's results depend on the input up to `reach` pixels beyond
    it, on each side. `multiply_adds` is for each input pixel, in all convolutions.
    """

    cell: int
    reach: int
    multiply_adds: Fraction

    def multiply_adds_of(self, size: Size) -> int:
        """Multiply-adds of a whole input frame; its sides are multiples of `cell`."""
        return int(self.multiply_adds * size.pixels)


def geometry_of(proto: onnx.ModelProto, scale: Fraction) -> Geometry:
    """Walk from the output of `proto` back to its input; `scale` is output over input.

    Raises BadRequestError (UNKNOWN_MODEL) for a graph that is no chain of convolutions, pooling and
    depth-to-space, such as one with a residual.
    """
    graph = proto.graph
    producers = {name: node for node in graph.node for name in node.output}
    constants = {value.name: list(value.dims) for value in graph.initializer}
    tensor = graph.output[0].name
    # What one cell of the result covers, `first` to `last`, and how far it is to the next cell.
    first, last, step = 0, scale.numerator - 1, scale.numerator
    resolution = scale**2  # values of a tensor's plane for each pixel of the input
    cost = Fraction(0)
    while tensor != graph.input[0].name:
        node = producers.get(tensor)
        if node is None:
            _refuse(f"{tensor!r} does not lead to the input")
        match node.op_type:
            case "Conv" | "AveragePool":
                window = _Window(node)
                if node.op_type == "Conv":
                    cost += resolution * _weights(node.input[1], producers, constants)
                first = first * window.stride - window.pad
                last = last * window.stride - window.pad + window.kernel - 1
                step *= window.stride
                resolution *= window.stride**2
            case "DepthToSpace":
                block = _ints(node, "blocksize", [1])[0]
                if step % block:
                    _refuse(f"cells of {scale} end inside a block of {node.name}")
                first, last, step = first // block, last // block, step // block
                resolution /= block**2
            case kind if kind not in POINTWISE | MOVES:
                _refuse(f"nothing is known of {kind}")
        tensor = node.input[0]
    if step != scale.denominator or resolution != 1:
        _refuse(f"its operators do not make {scale}x")
    cell = scale.denominator
    return Geometry(cell=cell, reach=max(-first, last - cell + 1, 0), multiply_adds=cost)


class _Window:
    """Kernel side, stride and padding of a node; all square, one padding on every side."""

    def __init__(self, node: onnx.NodeProto) -> None:
        kernels = _ints(node, "kernel_shape", [1])
        strides = _ints(node, "strides", [1])
        pads = _ints(node, "pads", [0])
        others = [*_ints(node, "dilations", [1]), *_ints(node, "group", [1])]
        if any(len(set(each)) > 1 for each in (kernels, strides, pads)) or set(others) != {1}:
            _refuse(f"{node.name} is no plain square window")
        self.kernel, self.stride, self.pad = kernels[0], strides[0], pads[0]


def _ints(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    for attribute in node.attribute:
        if attribute.name == name:
            return list(attribute.ints) or [int(attribute.i)]
    return default


def _weights(
    tensor: str, producers: dict[str, onnx.NodeProto], constants: dict[str, list[int]]
) -> int:
    """How many weights a convolution has, behind their DequantizeLinear if there is one."""
    source = producers[tensor].input[0] if tensor in producers else tensor
    if source not in constants:
        _refuse(f"the weights {source!r} are computed")
    return int(np.prod(constants[source]))


def _refuse(why: str) -> NoReturn:
    msg = f"the network is no plain chain of convolutions: {why}"
    raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL)
