"""`upscaler-train quantise`."""

from __future__ import annotations

from typing import Annotated

import typer

from protocol.errors import BadRequestError
from trainer.cli.options import Checkpoint, Out, StoreFolder, Threads, prepare_torch

WEIGHTS_LICENCE = "BSD-3-Clause"


def quantise(
    checkpoint: Checkpoint,
    data: StoreFolder,
    out: Out,
    adaround_iterations: Annotated[
        int, typer.Option(help="Iterations of AdaRound a layer; 0 rounds to nearest.", min=0)
    ] = 10_000,
    *,
    # AdaRound's batches are too small to share: a second thread gains little on an idle machine
    # and made it 11 times slower on a busy one (110 ms instead of 10 ms an iteration, 2 cores).
    threads: Threads = 1,
) -> None:
    """Quantise a trained network to int8; writes it and its float original as ONNX models."""
    prepare_torch(threads)
    from rich.console import Console

    from trainer.checkpoint import load_checkpoint
    from trainer.cli.evaluate import print_table
    from trainer.evaluate import evaluate_filter
    from trainer.export import Provenance, describe_data, export_float, export_quantised
    from trainer.quantise import Quantisation
    from trainer.quantise import quantise as quantise_network
    from trainer.store import Store

    trained = load_checkpoint(checkpoint)
    network = trained.network
    scale = network.architecture.scale
    store = Store(data)
    if store.scale != scale:
        msg = f"{checkpoint} is a network for {scale}x, {data} holds pairs for {store.scale}x"
        raise BadRequestError(msg)
    pairs, test = store.pairs("train"), store.pairs("test")
    provenance = Provenance(
        training=trained.training,
        data=describe_data(pairs),
        licence=WEIGHTS_LICENCE,
    )
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{checkpoint}: {trained.training}; quantising on {len(pairs)} training pairs")
    original = export_float(network, test, out, provenance)
    how = Quantisation(adaround_iterations=adaround_iterations)
    quantised = quantise_network(network, store, how)
    exported = export_quantised(quantised, test, out, provenance, quantisation=how.summary)
    print_table(
        {
            "bicubic": evaluate_filter("bicubic", test, scale),
            "float": original.evaluation,
            "int8": exported.evaluation,
        }
    )
    loss = original.evaluation.mean_db - exported.evaluation.mean_db
    console.print(f"int8 is {loss:.3f} dB below float")
    console.print(f"int8 pixels within 1 level of the simulation: {exported.agreement:.3%}")
    for each in (original, exported):
        console.print(f"wrote {each.path}")
