"""Trained layers to model files: written, checked against the simulation, measured, then named.

A file appears under its name only when the engine that is the reference runs it, and an int8 model
only when it gives the simulation's pixels. Its card holds what was measured on the file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from onnx import numpy_helper

from protocol.errors import BadRequestError, EngineError, ErrorCode
from protocol.frames import PixelFormat
from trainer.evaluate import AnySize, Evaluation, evaluate
from trainer.graph import Convolution, dcr_order, float_graph, quantised_graph
from trainer.network import RGB, Architecture, QuickSRNet
from trainer.quantise import Quantised, run_network
from trainer.store import NATIVE, FramePair, Store
from upscaler.contract import Frame
from upscaler.engines.library import select_engine
from upscaler.models.card import ModelCard, attach_card, weights_sha256
from upscaler.models.library import Model, open_model

REFERENCE_ENGINE = "onnxruntime"
MAX_DIFFERENCE = 1
"""Levels by which a value may differ from the simulation: sums are rounded in another order."""
AGREEING_SHARE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a card says that the weights do not: how and from what the model was made."""

    training: str
    data: str
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model file and what was measured on it. `agreement` is 1 for a float model."""

    path: Path
    card: ModelCard
    evaluation: Evaluation
    agreement: float


def method_name(architecture: Architecture) -> str:
    """Name of the method, such as "quicksrnet-small", or "quicksrnet-small-pooled" of a variant."""
    return "-".join(["quicksrnet", architecture.name, *architecture.variants])


def model_name(architecture: Architecture, *, quantised: bool) -> str:
    """Name of the model, such as "quicksrnet-small-x2" and "quicksrnet-small-x2-float"."""
    suffix = "" if quantised else "-float"
    return f"{method_name(architecture)}-x{float(architecture.scale):g}{suffix}"


def describe_data(store: Store) -> str:
    """Say which frames a network was trained on, and under which licences these stand.

    Raises BadImageError when the store has no training split.
    """
    pairs = store.pairs("train")
    games = sorted({(pair.game, pair.licence) for pair in pairs})
    named = ", ".join(f"{game} ({licence})" for game, licence in games)
    if store.index.degradation == NATIVE:
        return f"{len(pairs)} pairs of native renders: {named}"
    made = f"low resolution made from them (degradation {store.index.degradation})"
    return f"{len(pairs)} high-resolution frames, {made}: {named}"


def float_layers(network: QuickSRNet) -> list[Convolution]:
    """Layers of a float network for `float_graph`."""
    return [
        Convolution(weight=conv.weight.detach().numpy(), bias=_bias(conv).detach().numpy())
        for conv in network.convolutions
    ]


def export_float(
    network: QuickSRNet, test: list[FramePair], folder: Path, provenance: Provenance
) -> Exported:
    """Write the float model of `network` into `folder`, measured on the pairs of `test`.

    Raises BadRequestError when the file cannot be written, EngineError when it does not run.
    """
    architecture = network.architecture
    proto = float_graph(
        float_layers(network),
        architecture.scale,
        pooled=architecture.head == "pooled",
        relu=architecture.activation == "relu",
        residual=architecture.residual,
    )
    card = _card(architecture, proto, provenance, quantisation="none")
    return _write(proto, card, folder, test, None)


def export_quantised(
    quantised: Quantised,
    test: list[FramePair],
    folder: Path,
    provenance: Provenance,
    *,
    quantisation: str,
) -> Exported:
    """Write the int8 model into `folder`, measured on the pairs of `test`.

    `quantisation` is the line for the card. Raises BadRequestError when the file cannot be written,
    EngineError when it does not run, or when its pixels are not those of the simulation: nothing
    is written then.
    """
    architecture = quantised.architecture
    pooled = architecture.head == "pooled"
    proto = quantised_graph(quantised.layers, architecture.scale, pooled=pooled)
    card = _card(architecture, proto, provenance, quantisation=quantisation)
    return _write(proto, card, folder, test, partial(run_network, quantised.simulation.model))


def load_float_model(path: Path) -> QuickSRNet:
    """Return the network behind a float model file, for fine-tuning; the inverse of `export_float`.

    Raises BadRequestError when the file is no intact float model of this trainer.
    """
    model = open_model(path)
    card = model.card
    if card.quantised:
        msg = f"{path} is quantised; name its float original, whose name ends in -float"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL)
    graph = model.proto().graph
    weights = {
        initialiser.name: torch.from_numpy(numpy_helper.to_array(initialiser).copy())
        for initialiser in graph.initializer
    }
    operators = {node.op_type for node in graph.node}
    try:
        architecture = Architecture(
            width=card.width,
            depth=card.depth,
            scale=card.ratio,
            head="pooled" if "AveragePool" in operators else "space-to-depth",
            activation="relu" if "Relu" in operators else "relu1",
            residual="Add" in operators,
        )
        network = QuickSRNet(architecture, identity=False)
        order = torch.from_numpy(np.argsort(dcr_order(RGB, network.architecture.upsampling)))
        for index, conv in enumerate(network.convolutions):
            weight, bias = weights[f"conv{index}.weight"], weights[f"conv{index}.bias"]
            if conv is network.conv_last:
                weight, bias = weight[order].reshape(conv.weight.shape), bias[order]
            conv.load_state_dict({"weight": weight, "bias": bias})
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        msg = f"{path} is no QuickSRNet of upscaler-train ({error})"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_MODEL) from error
    return network.eval()


@contextmanager
def opened(model: Model) -> Iterator[AnySize]:
    """Run a model on RGB frames of any size by the reference engine.

    Raises EngineError when the engine is missing.
    """
    engine = select_engine(REFERENCE_ENGINE)
    with closing(AnySize(lambda size: engine.load(model, size, PixelFormat.RGB8))) as upscale:
        yield upscale


def agreement(
    upscale: Callable[[Frame], Frame],
    reference: Callable[[Frame], Frame],
    pairs: list[FramePair],
) -> float:
    """Share of values over all frames on which two upscalers differ by at most one level."""
    agreeing, values = 0, 0
    for pair in pairs:
        difference = np.subtract(upscale(pair.low), reference(pair.low), dtype=np.int16)
        agreeing += int(np.count_nonzero(np.abs(difference) <= MAX_DIFFERENCE))
        values += difference.size
    return agreeing / values


def _write(
    proto: onnx.ModelProto,
    card: ModelCard,
    folder: Path,
    test: list[FramePair],
    reference: Callable[[Frame], Frame] | None,
) -> Exported:
    path = folder / f"{card.name}.onnx"
    draft = folder / f".{path.name}.draft"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _save(proto, card, draft)
            with opened(open_model(draft)) as upscale:
                share = agreement(upscale, reference, test) if reference is not None else 1.0
                _check_agreement(card.name, share)
                evaluation = evaluate(upscale, test)
            measured = {**evaluation.by_game_db, "mean": evaluation.mean_db}
            card = msgspec.structs.replace(
                card, psnr_db={name: round(psnr, 3) for name, psnr in measured.items()}
            )
            _save(proto, card, draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise BadRequestError(msg) from error
    return Exported(path=path, card=card, evaluation=evaluation, agreement=share)


def _check_agreement(name: str, share: float) -> None:
    if share < AGREEING_SHARE:
        msg = (
            f"{name} was not written: only {share:.2%} of its values are within "
            f"{MAX_DIFFERENCE} level of the simulation, {AGREEING_SHARE:.0%} must be"
        )
        raise EngineError(msg, code=ErrorCode.INTERNAL)


def _save(proto: onnx.ModelProto, card: ModelCard, path: Path) -> None:
    attach_card(proto, card)
    path.write_bytes(proto.SerializeToString())


def _card(
    architecture: Architecture,
    proto: onnx.ModelProto,
    provenance: Provenance,
    *,
    quantisation: str,
) -> ModelCard:
    return ModelCard(
        name=model_name(architecture, quantised=quantisation != "none"),
        method=method_name(architecture),
        architecture=", ".join(
            [f"QuickSRNet f={architecture.width} m={architecture.depth}", *architecture.variants]
        ),
        width=architecture.width,
        depth=architecture.depth,
        scale=str(architecture.scale),
        size_multiple=architecture.size_multiple,
        channels=RGB,
        quantisation=quantisation,
        training=provenance.training,
        data=provenance.data,
        licence=provenance.licence,
        psnr_db={},
        weights_sha256=weights_sha256(proto),
    )


def _bias(conv: torch.nn.Conv2d) -> torch.Tensor:
    assert conv.bias is not None
    return conv.bias
