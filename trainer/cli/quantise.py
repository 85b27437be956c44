"""`upscaler-train quantise`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadRequestError
from trainer.cli.options import Checkpoint, Out, StoreFolder, Threads, prepare_torch

if TYPE_CHECKING:
    from rich.console import Console

    from trainer.evaluate import Evaluation
    from trainer.export import Exported, Provenance
    from trainer.network import QuickSRNet
    from trainer.quantise import Quantisation, Quantised
    from trainer.store import FramePair, Store

WEIGHTS_LICENCE = "BSD-3-Clause"
ALL, NONE = "all", "none"
JUDGED = 32
"""Frames that methods are compared on, at most: spread evenly over the split."""


def quantise(
    checkpoint: Checkpoint,
    data: StoreFolder,
    out: Out,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="ptq-per-tensor, ptq-per-channel, adaround (the default), qat-per-tensor, "
            "qat-per-channel, or all of them: the best on the validation frames is written. "
            "Repeatable. none writes the float model only.",
            metavar="NAME",
        ),
    ] = None,
    *,
    equalise: Annotated[
        bool, typer.Option("--equalise", help="Equalise across layers before.")
    ] = False,
    correct_bias: Annotated[
        bool, typer.Option("--correct-bias", help="Correct biases after.")
    ] = False,
    adaround_iterations: Annotated[int, typer.Option(help="Of AdaRound, a layer.", min=1)] = 10_000,
    qat_iterations: Annotated[int, typer.Option(help="Of QAT.", min=1)] = 2_000,
    qat_batch: Annotated[int, typer.Option(help="Crops in a step of QAT.", min=1)] = 16,
    qat_patch: Annotated[int, typer.Option(help="Side of QAT's low-res crops.", min=1)] = 64,
    qat_rate: Annotated[float, typer.Option(help="Learning rate of QAT.")] = 4e-6,
    qat_loss: Annotated[str, typer.Option(help='Of QAT: "mse" or "l1".')] = "mse",
    calibration_batches: Annotated[
        int, typer.Option(help="Of 32 crops: for measured ranges and biases.", min=1)
    ] = 16,
    seed: Annotated[int, typer.Option(help="Of all crops.", min=0)] = 1,
    device: Annotated[str, typer.Option(help='"auto", "cpu" or "cuda".')] = "auto",
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
    from trainer.processes import joined
    from trainer.quantise import check_quantisable
    from trainer.store import Store

    ways = [
        _way(
            name,
            equalise=equalise,
            correct_bias=correct_bias,
            adaround_iterations=adaround_iterations,
            qat_iterations=qat_iterations,
            qat_batch=qat_batch,
            qat_patch=qat_patch,
            qat_rate=qat_rate,
            qat_loss=qat_loss,
            calibration_batches=calibration_batches,
            seed=seed,
        )
        for name in _names(method or ["adaround"])
    ]
    trained = load_checkpoint(checkpoint)
    network = trained.network
    scale = network.architecture.scale
    store = Store(data)
    if store.scale != scale:
        msg = f"{checkpoint} is a network for {scale}x, {data} holds pairs for {store.scale}x"
        raise BadRequestError(msg)
    if ways:
        check_quantisable(network.architecture)
    pairs, test = store.pairs("train"), store.pairs("test")
    with joined(device) as processes:
        place = processes.device
    provenance = Provenance(
        training=trained.training, data=describe_data(store), licence=WEIGHTS_LICENCE
    )
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{checkpoint}: {trained.training}; quantising on {len(pairs)} training pairs")
    original = export_float(network, test, out, provenance)
    shown = {
        "bicubic": evaluate_filter("bicubic", test, scale),
        "float": original.evaluation,
    }
    written = [original]
    if ways:
        chosen, how = _best(network.to(place), store, ways, original, provenance, console)
        exported = export_quantised(chosen, test, out, provenance, quantisation=how.summary)
        shown["int8"] = exported.evaluation
        written.append(exported)
    print_table(shown)
    if ways:
        loss = original.evaluation.mean_db - exported.evaluation.mean_db
        console.print(f"int8 is {loss:.3f} dB below float ({how.summary})")
        console.print(f"int8 pixels within 1 level of the simulation: {exported.agreement:.3%}")
    for each in written:
        console.print(f"wrote {each.path}")


def _names(asked: list[str]) -> list[str]:
    """Return the methods that were asked for, each once."""
    from trainer.quantise import METHODS

    if NONE in asked:
        if len(asked) > 1:
            msg = f"--method {NONE} stands alone: it writes the float model only"
            raise BadRequestError(msg)
        return []
    wanted = [each for name in asked for each in (METHODS if name == ALL else (name,))]
    return list(dict.fromkeys(wanted))


def _way(method: str, **options: object) -> Quantisation:
    """Return the settings of one method.

    Raises BadRequestError for an unknown method or loss, or a number that cannot be.
    """
    from trainer.quantise import Quantisation

    return Quantisation(method=method, **options)  # type: ignore[arg-type] # checked there


def _best(
    network: QuickSRNet,
    store: Store,
    ways: list[Quantisation],
    original: Exported,
    provenance: Provenance,
    console: Console,
) -> tuple[Quantised, Quantisation]:
    """Quantise in every way; return the best on validation frames, after a table of them all.

    Those frames are the validation split's, or training frames where the store has none: what the
    test split says must not have been chosen by it. Each way's exported graph is what is measured.
    """
    from functools import partial

    from trainer.evaluate import evaluate
    from trainer.export import export_quantised, opened
    from trainer.quantise import run_network
    from upscaler.models.library import open_model

    if len(ways) == 1:
        return _quantise(network, store, ways[0]), ways[0]
    split = "validation" if store.entries("validation") else "train"
    frames = _spread(store.pairs(split))
    with opened(open_model(original.path)) as upscale:
        rows: dict[str, Evaluation] = {"float": evaluate(upscale, frames)}
    made: dict[str, tuple[Quantised, Quantisation]] = {}
    with TemporaryDirectory() as folder:
        for how in ways:
            quantised = _quantise(network, store, how)
            if how.equalise and "float, equalised" not in rows:
                equalised = partial(run_network, quantised.original)
                rows["float, equalised"] = evaluate(equalised, frames)
            exported = export_quantised(
                quantised, frames, Path(folder), provenance, quantisation=how.summary
            )
            rows[how.method] = exported.evaluation
            made[how.method] = (quantised, how)
            console.print(f"{how.method}: {exported.evaluation.mean_db:.3f} dB")
    _print_losses(rows, f"{len(frames)} frames of the split {split!r}", console)
    best = max(made, key=lambda name: rows[name].mean_db)
    console.print(f"best: {best}")
    return made[best]


def _quantise(network: QuickSRNet, store: Store, how: Quantisation) -> Quantised:
    """Quantise behind a progress bar."""
    from trainer.quantise import quantise as quantise_network
    from upscaler.console import progress

    with progress() as bar:
        task = bar.add_task(how.method, total=None)
        advance: Callable[[str, int, int], None] = lambda what, done, total: bar.update(  # noqa: E731
            task, description=what, completed=done, total=total
        )
        return quantise_network(network, store, how, advance)


def _spread(pairs: list[FramePair]) -> list[FramePair]:
    step = -(-len(pairs) // JUDGED)
    return pairs[::step]


def _print_losses(rows: dict[str, Evaluation], what: str, console: Console) -> None:
    from upscaler.console import WIDE, table

    first = rows["float"]
    shown = table(f"RGB PSNR in dB, {what}", "method", *first.by_game_db, "mean", "below float")
    for method, each in rows.items():
        numbers = (*each.by_game_db.values(), each.mean_db, first.mean_db - each.mean_db)
        shown.add_row(method, *(f"{number:.3f}" for number in numbers))
    console.print(shown, width=None if console.is_terminal else WIDE)
