"""`upscaler-train train`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadRequestError
from trainer.cli.options import (
    Out,
    StoreFolder,
    Threads,
    interrupt_noted,
    prepare_torch,
)
from upscaler.cli.running import Interrupted

if TYPE_CHECKING:
    from trainer.network import Architecture, QuickSRNet
    from trainer.processes import Processes
    from trainer.train import Trainer


def train(
    data: StoreFolder,
    out: Out,
    recipe: Annotated[str, typer.Option(help='"fast", or "paper" for the paper\'s.')] = "fast",
    architecture: Annotated[
        str, typer.Option(help='"small", "medium", "large" or the like of "f32-m7".')
    ] = "small",
    iterations: Annotated[
        int | None, typer.Option(help="Another length than the recipe's.", min=1)
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Fine-tune: a checkpoint, a float model's file or a shipped one's name.",
            metavar="FILE",
        ),
    ] = None,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from DIR/checkpoint.pt.")] = False,
    expand: Annotated[
        int | None, typer.Option(help="Width of over-parameterised blocks; 0: none.", min=0)
    ] = None,
    loss: Annotated[str | None, typer.Option(help='"mse" or "l1".')] = None,
    rate: Annotated[float | None, typer.Option(help="Another learning rate.", min=0.0)] = None,
    decay: Annotated[float | None, typer.Option(help="Of Muon's kernels.", min=0.0)] = None,
    precision: Annotated[
        str | None, typer.Option(help='"float32", "bfloat16" or, on a GPU, "tf32".')
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Crops in a step.", min=1)] = None,
    patch: Annotated[int | None, typer.Option(help="Side of a low-res crop.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights and crops.", min=0)] = None,
    head: Annotated[
        str, typer.Option(help='At 1.5x: "space-to-depth", or the naive "pooled".')
    ] = "space-to-depth",
    identity: Annotated[bool, typer.Option(help="Start from a nearest-neighbour upscaler.")] = True,
    relu1: Annotated[bool, typer.Option(help="Clip hidden activations to 0..1.")] = True,
    rounding: Annotated[
        bool | None, typer.Option(help="Round hidden activations to the 256 levels of int8 models.")
    ] = None,
    residual: Annotated[
        bool, typer.Option("--residual", help="Add the input to the output.")
    ] = False,
    report_every: Annotated[int, typer.Option(help="Steps between reports.", min=1)] = 1000,
    device: Annotated[str, typer.Option(help='"auto", "cpu" or "cuda".')] = "auto",
    threads: Threads = None,
) -> None:
    """Train a network; DIR/checkpoint.pt is written as it goes, and on Ctrl-C.

    Several GPUs or machines: torchrun --nproc-per-node=N -m trainer train ...
    """
    prepare_torch(threads)
    from rich import get_console

    from trainer.processes import joined
    from trainer.recipes import find_recipe, fitted, varied
    from trainer.run import BEST, CHECKPOINT, run
    from trainer.store import Store
    from trainer.train import Trainer
    from trainer.train import resume as resume_run

    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        msg = f"{checkpoint} exists; add --resume to go on from it, or name another --out"
        raise BadRequestError(msg)
    store = Store(data)
    with joined(device) as processes:
        if resume:
            trainer = resume_run(checkpoint, store, processes=processes)
        else:
            built = _architecture(
                architecture, store.scale, head=head, relu1=relu1, residual=residual
            )
            chosen = varied(
                fitted(find_recipe(recipe), built.depth),
                iterations=iterations,
                expand=expand,
                loss=loss,
                rate=rate,
                decay=decay,
                precision=precision,
                batch=batch,
                patch=patch,
                seed=seed,
                identity=identity,
                rounding=rounding,
            )
            weights, origin = _start(start) if start else (None, "")
            trainer = Trainer(
                chosen, built, store, start=weights, origin=origin, processes=processes
            )
        console = get_console()  # the one of the progress bar, so that lines appear above it
        with interrupt_noted() as interrupted:
            if processes.leads:
                console.print(_headline(trainer, processes), highlight=False, soft_wrap=True)
            for report in run(trainer, out, report_every=report_every, stop=interrupted.is_set):
                if processes.leads:
                    measured = (
                        f", validation {report.validation_db:.3f} dB{' (best)' * report.best}"
                        if report.validation_db is not None
                        else ""
                    )
                    console.print(
                        f"{report.done:>7} iterations, loss {report.loss:.6f}{measured}, "
                        f"{report.steps_per_second:.1f} a second",
                        highlight=False,
                    )
        leads = processes.leads
    if not leads:
        return
    if trainer.done < trainer.recipe.iterations:
        msg = (
            f"interrupted after {trainer.done} iterations; {checkpoint} is saved, go on with "
            "--resume"
        )
        raise Interrupted(msg)
    left = f"{checkpoint} and {out / BEST}" if (out / BEST).exists() else str(checkpoint)
    console.print(f"done: {left}", highlight=False, soft_wrap=True)


def _architecture(
    size: str, scale: Fraction, *, head: str, relu1: bool, residual: bool
) -> Architecture:
    from trainer.network import Architecture, parse_size

    width, depth = parse_size(size)
    if head not in {"space-to-depth", "pooled"}:
        msg = f"unknown head {head!r}; choose space-to-depth or pooled"
        raise BadRequestError(msg)
    try:
        return Architecture(
            width=width,
            depth=depth,
            scale=scale,
            head="pooled" if head == "pooled" else "space-to-depth",
            activation="relu1" if relu1 else "relu",
            residual=residual,
        )
    except ValueError as error:
        raise BadRequestError(str(error)) from error


def _start(source: str) -> tuple[QuickSRNet, str]:
    """Load the weights to start from, and say what they are."""
    from trainer.checkpoint import load_checkpoint
    from trainer.export import load_float_model, model_name
    from upscaler.models.library import find_model

    if source.endswith(".pt"):
        trained = load_checkpoint(Path(source))
        name = model_name(trained.network.architecture, quantised=False)
        return trained.network, f"{name} ({trained.recipe.name}, {trained.done} iterations)"
    model = find_model(source)
    return load_float_model(model.path), f"{model.card.name} ({model.card.training})"


def _headline(trainer: Trainer, processes: Processes) -> str:
    recipe, built = trainer.recipe, trainer.architecture
    pairs = len(trainer.store.entries("train"))
    held = len(trainer.store.entries("validation"))
    where = f"{processes.count} x {processes.device}" if processes.count > 1 else processes.device
    begun = f", going on from {trainer.done}" if trainer.done else ""
    return (
        f"{built.name} {float(built.scale):g}x, recipe {recipe.name}: {recipe.iterations} "
        f"iterations{begun} on {pairs} pairs, {held} held out for validation, on {where}"
    )
