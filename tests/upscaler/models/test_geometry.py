from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import SCALES, PixelFormat, Size
from trainer.graph import Convolution, float_graph
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.models.geometry import Geometry, geometry_of
from upscaler.models.library import Model, find_model, shipped
from upscaler.models.specialise import specialise
from upscaler.testing import near_identity_weights

MakeModel = Callable[..., Model]
SIZE = Size(48, 40)


def geometry(model: Model, pixel_format: PixelFormat = PixelFormat.RGB8) -> Geometry:
    return geometry_of(specialise(model, SIZE, pixel_format), model.card.ratio)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 3 * 32 * 9, then 32 * 32 * 9 twice, then 32 * 12 * 9.
        ("quicksrnet-small-x2", Geometry(cell=1, reach=4, multiply_adds=Fraction(22_752))),
        ("quicksrnet-medium-x2", Geometry(cell=1, reach=7, multiply_adds=Fraction(50_400))),
        # The last layer is 32 * 27 * 4 for four pixels, and sees no neighbours.
        ("quicksrnet-small-x1.5", Geometry(cell=2, reach=3, multiply_adds=Fraction(20_160))),
    ],
)
def test_shipped_models(name: str, expected: Geometry) -> None:
    assert geometry(find_model(name)) == expected
    assert geometry(find_model(f"{name}-float")) == expected


def test_a_fourth_channel_costs_a_little() -> None:
    model = find_model("quicksrnet-small-x2")
    assert geometry(model, PixelFormat.RGBA8).multiply_adds == 22_752 + 32 * 9 + 32 * 4 * 9
    assert geometry(model).multiply_adds_of(Size(960, 540)) == 22_752 * 960 * 540


def reached(model: Model) -> tuple[int, int]:
    """How far beyond themselves the first and last cell see that changed when one did."""
    upscaler = OnnxRuntimeEngine().load(model, SIZE, PixelFormat.RGB8)
    src = np.random.default_rng(3).integers(0, 256, upscaler.input_shape, np.uint8)
    changed = src.copy()
    changed[20:22, 20:22] ^= 128
    results = [np.zeros(upscaler.output_shape, np.uint8) for _ in range(2)]
    upscaler(src, results[0])
    upscaler(changed, results[1])
    upscaler.close()
    rows = np.flatnonzero((results[0] != results[1]).any(axis=(1, 2)))
    cell = model.card.size_multiple
    first, last = (int(row) // model.card.ratio.numerator * cell for row in (rows[0], rows[-1]))
    return 20 - (first + cell - 1), last - 21


@pytest.mark.parametrize("model", shipped(), ids=lambda each: each.card.name)
def test_nothing_changes_beyond_reach_and_something_does_within(model: Model) -> None:
    reach = geometry(model).reach
    before, behind = reached(model)
    assert max(before, behind) <= reach
    # The last pixel that is reached may round to what it was.
    assert max(before, behind) >= reach - 1


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("quantised", [True, False])
def test_every_scale(make_model: MakeModel, scale: Fraction, *, quantised: bool) -> None:
    found = geometry(make_model(scale, quantised=quantised))
    assert found.cell == scale.denominator
    assert found.reach == (3 if scale.denominator > 1 else 4)


def test_the_pooled_head(make_model: MakeModel) -> None:
    found = geometry(make_model(Fraction(3, 2), pooled=True))
    assert (found.cell, found.reach) == (2, 4)


def test_a_residual_is_no_chain() -> None:
    layers = [Convolution(weight=w, bias=b) for w, b in near_identity_weights(Fraction(2))]
    with pytest.raises(
        BadRequestError, match="no plain chain of convolutions: nothing is known of A"
    ) as refused:
        geometry_of(float_graph(layers, Fraction(2), residual=True), Fraction(2))
    assert refused.value.code == ErrorCode.UNKNOWN_MODEL


def test_another_scale_than_the_graphs() -> None:
    proto = find_model("quicksrnet-small-x2").proto()
    with pytest.raises(BadRequestError, match="cells of 3 end inside a block"):
        geometry_of(proto, Fraction(3))
    with pytest.raises(BadRequestError, match="do not make 4x"):
        geometry_of(proto, Fraction(4))
