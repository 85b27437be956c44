"""Finds models: the shipped ones by name, others by file; and checks that they are intact."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.errors import BadRequestError, ErrorCode
from upscaler.models.card import METADATA_KEY, ModelCard, card_from_json, weights_sha256
from upscaler.models.metadata import read_metadata

if TYPE_CHECKING:
    import onnx

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model file and what its card says. The weights are read when they are asked for."""

    card: ModelCard
    path: Path

    def proto(self) -> onnx.ModelProto:
        """Read the whole model: a fresh copy, the caller's to change.

        Raises BadRequestError when the file is gone, is no ONNX model, or its weights are not
        those that the card was written for.
        """
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        try:
            proto = onnx.load_model(self.path, load_external_data=False)
            weights = weights_sha256(proto)
        except (DecodeError, OSError, ValueError) as error:
            msg = f"{self.path} is no readable ONNX model ({error})"
            raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL) from error
        if weights != self.card.weights_sha256:
            msg = (
                f"{self.path} is damaged: the SHA-256 of its weights is {weights[:12]}..., its "
                f"card says {self.card.weights_sha256[:12]}...; install or export it again"
            )
            raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL)
        return proto


def open_model(path: Path) -> Model:
    """Read the card of a model file; the weights stay on disk.

    Raises BadRequestError (UNKNOWN_MODEL) when the file is missing, is no ONNX model or carries no
    readable card.
    """
    try:
        text = read_metadata(path, METADATA_KEY)
    except FileNotFoundError as error:
        msg = f"there is no model file {path}"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL) from error
    except (OSError, ValueError) as error:
        msg = f"{path} is no readable ONNX model ({error})"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL) from error
    if text is None:
        msg = f"{path} carries no model card; export it with upscaler-train, which writes one"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL)
    return Model(card=card_from_json(text, source=str(path)), path=path)


def shipped(folder: Path = SHIPPED) -> list[Model]:
    """Models that come with the package, sorted by file name."""
    return [open_model(path) for path in sorted(folder.glob("*.onnx"))]


def find_model(name_or_file: str, *, folder: Path = SHIPPED) -> Model:
    """Return a shipped model by the name on its card, or any model by its file.

    The file is read whole and its weights are checked: a damaged one fails here and not in front
    of a client. Raises BadRequestError (UNKNOWN_MODEL).
    """
    by_name = {model.card.name: model for model in shipped(folder)}
    path = Path(name_or_file)
    if name_or_file in by_name:
        model = by_name[name_or_file]
    elif path.suffix == ".onnx" or path.is_file():
        model = open_model(path)
    else:
        offered = ", ".join(by_name) or "none is installed"
        msg = f"unknown model {name_or_file!r}; name a shipped one ({offered}) or an .onnx file"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL)
    model.proto()
    return model


def model_for(
    method: str, scale: Fraction, *, quantised: bool = True, folder: Path = SHIPPED
) -> Model:
    """Return the shipped model of a method and scale, in 8 bits or in float.

    Raises BadRequestError: UNKNOWN_METHOD, UNSUPPORTED_SCALE, or UNKNOWN_MODEL when only the other
    number type is shipped.
    """
    models = shipped(folder)
    scales = {model.card.ratio for model in models if model.card.method == method}
    if not scales:
        methods = ", ".join(sorted({model.card.method for model in models})) or "none"
        msg = f"no shipped model has the method {method!r}; there are {methods}"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD)
    if scale not in scales:
        offered = ", ".join(f"{one}x" for one in sorted(scales))
        msg = f"{method} has no model for {scale}x; it has {offered}"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
    for model in models:
        card = model.card
        if (card.method, card.ratio, card.quantised) == (method, scale, quantised):
            return model
    kind = "quantised" if quantised else "float"
    msg = f"{method} at {scale}x is not shipped as a {kind} model"
    raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL)
