from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import SCALES, PixelFormat, Size, upscaled_size
from upscaler.models.library import Model
from upscaler.models.specialise import specialise

MakeModel = Callable[..., Model]
SIZE = Size(8, 6)


def shapes(proto: onnx.ModelProto) -> list[list[int]]:
    return [
        [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (proto.graph.input[0], proto.graph.output[0])
    ]


def initialiser(proto: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(
        next(value for value in proto.graph.initializer if value.name == name)
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("pixel_format", PixelFormat)
@pytest.mark.parametrize("quantised", [True, False])
def test_fixes_the_shapes(
    make_model: MakeModel, scale: Fraction, pixel_format: PixelFormat, *, quantised: bool
) -> None:
    proto = specialise(make_model(scale, quantised=quantised), SIZE, pixel_format)
    upscaled = upscaled_size(SIZE, scale)
    assert shapes(proto) == [[1, *SIZE.shape(pixel_format)], [1, *upscaled.shape(pixel_format)]]
    onnx.checker.check_model(proto, full_check=True)


def test_rgb_changes_nothing_but_the_size(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    assert list(specialise(model, SIZE, PixelFormat.RGB8).graph.initializer) == list(
        model.proto().graph.initializer
    )


def test_blue_first_is_a_permutation_at_both_ends(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    rgb, bgr = model.proto(), specialise(model, SIZE, PixelFormat.BGR8)
    first, last = (initialiser(rgb, f"conv{layer}.weight") for layer in (0, 3))
    assert np.array_equal(initialiser(bgr, "conv0.weight"), first[:, ::-1])
    # Twelve outputs are four pixels; in each of them red and blue change places.
    order = [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9]
    assert np.array_equal(initialiser(bgr, "conv3.weight"), last[order])
    for name in ("weight_scale", "bias", "bias_scale"):
        values = initialiser(rgb, f"conv3.{name}")
        assert np.array_equal(initialiser(bgr, f"conv3.{name}"), values[order])


def test_alpha_is_ignored_on_the_way_in_and_opaque_on_the_way_out(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    rgb, rgba = model.proto(), specialise(model, SIZE, PixelFormat.RGBA8)
    weight = initialiser(rgba, "conv0.weight")
    assert np.array_equal(weight[:, :3], initialiser(rgb, "conv0.weight"))
    assert not weight[:, 3].any()

    alpha = slice(3, None, 4)
    assert not initialiser(rgba, "conv3.weight")[alpha].any()
    opaque = initialiser(rgba, "conv3.bias")[alpha] * initialiser(rgba, "conv3.bias_scale")[alpha]
    assert opaque.shape == (4,)
    assert (opaque >= 1).all()


def test_the_file_is_left_as_it_is(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    before = model.path.read_bytes()
    specialise(model, SIZE, PixelFormat.BGRA8)
    assert model.path.read_bytes() == before


@pytest.mark.parametrize(
    ("scale", "size", "words"),
    [
        (Fraction(3, 2), Size(7, 6), "sides that are multiples of 2, not 7x6; crop or pad"),
        (Fraction(3, 2), Size(8, 5), "sides that are multiples of 2, not 8x5"),
        (Fraction(2), Size(0, 6), "has no pixels"),
        (Fraction(4), Size(4096, 8), "a result of 16384x32 is too large"),
    ],
)
def test_sizes_that_cannot_be(
    make_model: MakeModel, scale: Fraction, size: Size, words: str
) -> None:
    with pytest.raises(BadRequestError, match=words) as caught:
        specialise(make_model(scale), size, PixelFormat.RGB8)
    assert caught.value.code is ErrorCode.UNSUPPORTED_SIZE


def test_a_model_that_is_no_network_is_refused(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    proto = model.proto()
    kept = [node for node in proto.graph.node if node.op_type != "Conv"]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    onnx.save_model(proto, model.path)
    with pytest.raises(BadRequestError, match="no network for RGB frames"):
        specialise(model, SIZE, PixelFormat.RGB8)
