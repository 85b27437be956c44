"""Keeps 8-bit convolutions right on x86 without VNNI.

There an instruction multiplies uint8 by int8 and adds the products in pairs, in 16 bits, with
saturation (vpmaddubsw). OpenVINO uses it; onnxruntime can be told not to, and is a third slower
then. A pair of weights of one sign that sum to more than 128 loses what exceeds 32767 where the
picture is bright. In Small at 2x that
is one pair in 140, and it costs 0.55 dB on the demo's frame, more than the network gains over
bicubic there: an eighth of all values is off, by up to 82 levels.

Which weights make a pair is a matter of the order of channels, and hidden channels may stand in any
order. So they are put into one in which few pairs can saturate; that changes no result. Outputs
that may still saturate get weights of a few levels fewer, in larger steps, as little larger as
will do. The results are within 4 levels of the model's then, 53 to 58 dB, which is as far as those
are from the float model's. No frame takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

SAFE = 128
"""Most that two weights of one sign may sum to: 255 * 128 < 2^15."""
ATTEMPTS = 50
Levels = NDArray[np.int64]
"""Weights of a convolution, (out, in, rows, columns), -127..127."""


def avoid_saturation(proto: onnx.ModelProto) -> None:
    """Rewrite a specialised eight-bit graph, in place, so that no pair of products saturates."""
    layers = [_Layer(proto, node) for node in proto.graph.node if node.op_type == "Conv"]
    for before, layer in pairwise(layers):
        order = pairing(layer.levels)
        layer.reorder_inputs(order)
        before.reorder_outputs(order)
    for at, layer in enumerate(layers):
        layer.fit(_pixels_saturate if at == 0 else _neighbours_saturate)


def pairing(levels: Levels) -> NDArray[np.intp]:
    """Return an order of the input channels whose neighbours, two by two, saturate least.

    Deterministic: swaps of two channels from several starts, until nothing improves.
    """
    return np.array(_pairing(levels.shape, levels.tobytes()))


@cache
def _pairing(shape: tuple[int, ...], levels_bytes: bytes) -> list[int]:
    """Networks of several sizes and formats have the same hidden layers."""
    levels: Levels = np.frombuffer(levels_bytes, np.int64).reshape(shape)
    count = shape[1]
    order = np.arange(count)
    if count % 2:
        return order.tolist()
    costs = np.zeros((count, count), np.int64)
    for one, other in combinations(range(count), 2):
        costs[one, other] = costs[other, one] = _too_much(levels[:, one], levels[:, other]).sum()
    random = np.random.default_rng(0)
    best, least = order, _total(costs, order)
    for _ in range(ATTEMPTS):
        if least == 0:
            break
        found = _improved(costs, random.permutation(count))
        if _total(costs, found) < least:
            best, least = found, _total(costs, found)
    return best.tolist()


def _total(costs: NDArray[np.int64], order: NDArray[np.intp]) -> int:
    return int(costs[order[0::2], order[1::2]].sum())


def _improved(costs: NDArray[np.int64], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Swap channels between pairs while that helps."""
    improving = True
    while improving:
        improving = False
        for one, other in combinations(range(len(order)), 2):
            mates = order[one ^ 1], order[other ^ 1]
            a, b = order[one], order[other]
            if one ^ 1 == other:
                continue
            if costs[b, mates[0]] + costs[a, mates[1]] < costs[a, mates[0]] + costs[b, mates[1]]:
                order[one], order[other] = b, a
                improving = True
    return order


def _too_much(one: Levels, other: Levels) -> NDArray[np.bool_]:
    """Whether products with two weights may sum to what 16 bits cannot hold."""
    positive = np.maximum(one, 0) + np.maximum(other, 0)
    negative = np.minimum(one, 0) + np.minimum(other, 0)
    return np.logical_or(positive > SAFE, negative < -SAFE)


def _neighbours_saturate(levels: Levels) -> NDArray[np.bool_]:
    """Whether a pair of neighbouring inputs may saturate, for each output: (out,)."""
    even = levels.shape[1] // 2 * 2
    pairs = _too_much(levels[:, 0:even:2], levels[:, 1:even:2])
    return np.asarray(pairs.reshape(len(levels), -1).any(axis=1))


def _pixels_saturate(levels: Levels) -> NDArray[np.bool_]:
    """Whether a pair of colours may saturate, for each output: (out,); alpha's weights are zero.

    Green's neighbour is red or blue, by the pixel format; both count, for all formats are to look
    alike. A fourth channel follows the third, with zero weights, whether or not the frame has one.
    """
    red, green, blue = (levels[:, colour] for colour in range(3))
    pairs = _too_much(red, green) | _too_much(green, blue)
    return np.asarray(pairs.reshape(len(levels), -1).any(axis=1))


def _coarser(levels: Levels, factor: float) -> Levels:
    """Levels in steps `factor` times as large; what is rounded off goes to the next in the window.

    So the sum of each window, and with it the colour of a flat area, stays as it was.
    """
    exact = levels.reshape(*levels.shape[:2], -1) / factor
    sums = np.rint(np.cumsum(exact, axis=2))
    rounded: Levels = np.diff(sums, axis=2, prepend=0).astype(np.int64)
    return rounded.reshape(levels.shape)


class _Layer:
    """One convolution's weight and bias, and their encodings, in the graph's initialisers."""

    def __init__(self, proto: onnx.ModelProto, convolution: onnx.NodeProto) -> None:
        producers = {name: node for node in proto.graph.node for name in node.output}
        self._initialisers = {value.name: value for value in proto.graph.initializer}
        self._weight, self._bias = (list(producers[name].input) for name in convolution.input[1:3])

    @property
    def levels(self) -> Levels:
        """The weights."""
        return self._get(self._weight[0]).astype(np.int64)

    def reorder_inputs(self, order: NDArray[np.intp]) -> None:
        self._set(self._weight[0], self._get(self._weight[0])[:, order])

    def reorder_outputs(self, order: NDArray[np.intp]) -> None:
        for name in (*self._weight, *self._bias):
            self._set(name, self._get(name)[order])

    def fit(self, saturate: Callable[[Levels], NDArray[np.bool_]]) -> None:
        """Make the steps of outputs that may saturate larger, by 1/64 at a time, until none may."""
        levels = self.levels
        factors = np.ones(len(levels))
        for output in np.flatnonzero(saturate(levels)):
            original = fitted = levels[output : output + 1]
            while saturate(fitted)[0]:
                factors[output] += 1 / 64
                fitted = _coarser(original, factors[output])
            levels[output] = fitted[0]
        self._set(self._weight[0], levels.astype(np.int8))
        bias = np.rint(self._get(self._bias[0]).astype(np.float64) / factors)
        self._set(self._bias[0], bias.astype(np.int32))
        for name in (self._weight[1], self._bias[1]):
            self._set(name, (self._get(name).astype(np.float64) * factors).astype(np.float32))

    def _get(self, name: str) -> NDArray[Any]:
        from onnx import numpy_helper

        values: NDArray[Any] = numpy_helper.to_array(self._initialisers[name])
        return values

    def _set(self, name: str, values: NDArray[Any]) -> None:
        from onnx import numpy_helper

        self._initialisers[name].CopyFrom(
            numpy_helper.from_array(np.ascontiguousarray(values), name)
        )
