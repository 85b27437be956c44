from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from protocol.errors import BadRequestError, ErrorCode
from upscaler.models.card import (
    METADATA_KEY,
    attach_card,
    card_from_json,
    card_to_json,
    describe,
    weights_sha256,
)
from upscaler.models.library import Model
from upscaler.testing import example_card

CARD = example_card(Fraction(3, 2), weights_sha256="0" * 64)


def test_a_card_survives_its_encoding() -> None:
    assert card_from_json(card_to_json(CARD), source="it") == CARD
    assert CARD.ratio == Fraction(3, 2)
    assert CARD.quantised
    assert not example_card(Fraction(2), weights_sha256="", quantised=False).quantised
    assert describe(CARD)["scale"] == "3/2"


@pytest.mark.parametrize(
    "changed",
    [{"scale": "0"}, {"scale": "1/0"}, {"scale": "big"}, {"size_multiple": 0}, {"extra": 1}],
)
def test_an_unreadable_card_names_the_model(changed: dict[str, object]) -> None:
    text = json.dumps({**describe(CARD), **changed})
    with pytest.raises(BadRequestError, match=r"m\.onnx has an unreadable model card") as caught:
        card_from_json(text, source="m.onnx")
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


def test_a_card_with_a_field_missing_is_unreadable() -> None:
    fields = describe(CARD)
    del fields["licence"]
    with pytest.raises(BadRequestError, match="licence"):
        card_from_json(json.dumps(fields), source="m.onnx")


def test_attaching_replaces_the_card_and_keeps_the_rest(make_model: Callable[..., Model]) -> None:
    proto = make_model(Fraction(2)).proto()
    proto.metadata_props.add(key="other", value="kept")
    attach_card(proto, CARD)
    entries = [(entry.key, entry.value) for entry in proto.metadata_props]
    assert sorted(entries) == [("other", "kept"), (METADATA_KEY, card_to_json(CARD))]


def test_the_weights_hash_sees_values_names_and_shapes(make_model: Callable[..., Model]) -> None:
    proto = make_model(Fraction(2)).proto()
    expected = weights_sha256(proto)
    again = onnx.ModelProto.FromString(proto.SerializeToString())
    again.graph.node[0].name = "renamed"
    assert weights_sha256(again) == expected

    initialiser = again.graph.initializer[2]
    values = numpy_helper.to_array(initialiser)
    for change in (np.invert(values), values.reshape(-1), values.astype(np.int16)):
        initialiser.CopyFrom(numpy_helper.from_array(change, initialiser.name))
        assert weights_sha256(again) != expected
    initialiser.CopyFrom(numpy_helper.from_array(values, "other"))
    assert weights_sha256(again) != expected
    initialiser.CopyFrom(numpy_helper.from_array(values, proto.graph.initializer[2].name))
    assert weights_sha256(again) == expected
