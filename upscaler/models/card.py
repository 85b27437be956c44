"""The model card: what a model is, how it was made and how good it is, inside the ONNX metadata."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from protocol.errors import BadRequestError, ErrorCode

if TYPE_CHECKING:
    import onnx

METADATA_KEY = "upscaler.model_card"


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts that travel with a model. Unknown or missing fields make the card unreadable.

    `scale` is an exact fraction as text ("2", "3/2"); both input sides must be a multiple of
    `size_multiple`. `quantisation` is "W8A8 ..." or "none". `psnr_db` maps the name of a test set
    to RGB PSNR over whole frames. `weights_sha256` covers all initialisers in graph order.
    """

    name: str
    method: str
    architecture: str
    width: int
    depth: int
    scale: str
    size_multiple: int
    channels: int
    quantisation: str
    training: str
    data: str
    licence: str
    psnr_db: dict[str, float]
    weights_sha256: str

    @property
    def ratio(self) -> Fraction:
        """The scale as a number."""
        return Fraction(self.scale)

    @property
    def quantised(self) -> bool:
        """Whether the network runs on integers from end to end."""
        return self.quantisation != "none"


def card_to_json(card: ModelCard) -> str:
    """Encode a card for the metadata."""
    return msgspec.json.encode(card).decode()


def card_from_json(text: str, *, source: str) -> ModelCard:
    """Decode a card; `source` names the model in the error.

    Raises BadRequestError when the text is no complete card.
    """
    try:
        card = msgspec.json.decode(text, type=ModelCard)
        if card.ratio <= 0 or card.size_multiple <= 0:
            msg = "scale and size_multiple must be positive"
            raise ValueError(msg)  # noqa: TRY301 - one message for every way to be unreadable
    except (msgspec.DecodeError, ValueError, ZeroDivisionError) as error:
        msg = f"{source} has an unreadable model card ({error}); export it again"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL) from error
    return card


def describe(card: ModelCard) -> dict[str, Any]:
    """Card as plain data, for reports."""
    described: dict[str, Any] = msgspec.to_builtins(card)
    return described


def weights_sha256(proto: onnx.ModelProto) -> str:
    """SHA-256 over all initialisers in graph order: name, type, shape and bytes of each.

    Independent of how protobuf stores the numbers, so loading and saving does not change it.
    """
    from onnx import numpy_helper

    digest = hashlib.sha256()
    for initialiser in proto.graph.initializer:
        values = numpy_helper.to_array(initialiser)
        digest.update(f"{initialiser.name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def attach_card(proto: onnx.ModelProto, card: ModelCard) -> None:
    """Write `card` into the metadata of `proto`, in place of any card there."""
    from onnx import helper

    kept = {entry.key: entry.value for entry in proto.metadata_props}
    helper.set_model_props(proto, {**kept, METADATA_KEY: card_to_json(card)})
