"""`upscaler-train`: train a network, quantise and export it, measure a model.

`upscaler-train --help` must answer at once, so this module imports typer and nothing heavier;
torch loads when a command runs.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadRequestError, EngineError, UpscalerError

if TYPE_CHECKING:
    from trainer.evaluate import Evaluation

CHECKPOINT = "checkpoint.pt"
EXIT_ERROR, EXIT_INTERRUPTED = 2, 130
WEIGHTS_LICENCE = "BSD-3-Clause"

# Plain help, as in `upscaler`: rich's panels would take longer than everything else together.
app = typer.Typer(
    help="Train QuickSRNet on rendered game frames, quantise it to W8A8 and export it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Data = Annotated[
    Path,
    typer.Option(help="Folder of frames with a manifest.json of its pairs.", metavar="DIR"),
]
Out = Annotated[Path, typer.Option(help="Folder for what is written.", metavar="DIR")]
RecipeName = Annotated[str, typer.Option("--recipe", help="A recipe by name.", metavar="NAME")]
Threads = Annotated[
    int | None,
    typer.Option(help="Threads of torch; all cores by default.", min=1, max=256),
]


@app.command()
def train(
    data: Data,
    out: Out,
    recipe_name: RecipeName = "small-x2",
    iterations: Annotated[
        int | None, typer.Option(help="Another length than the recipe's.", min=1)
    ] = None,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    threads: Threads = None,
) -> None:
    """Train a recipe to its end; DIR/checkpoint.pt is written as it goes, and on Ctrl-C."""
    _prepare_torch(threads)
    from dataclasses import replace

    from rich import get_console

    from trainer.data import load_split
    from trainer.recipes import find_recipe
    from trainer.train import Trainer, run

    recipe = find_recipe(recipe_name)
    if iterations is not None:
        recipe = replace(recipe, iterations=iterations)
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        msg = f"{checkpoint} exists; add --resume to go on from it, or name another --out"
        raise BadRequestError(msg)
    pairs = load_split(data, split="train", scale=recipe.architecture.scale)
    trainer = Trainer(recipe, pairs)
    if resume:
        trainer.resume(checkpoint)
    console = get_console()  # the one of the progress bar, so that lines appear above it
    with _interrupt_noted() as interrupted:
        console.print(f"{recipe_name}: {recipe.iterations} iterations on {len(pairs)} pairs")
        for loss in run(trainer, checkpoint, stop=interrupted.is_set):
            console.print(f"{trainer.done:>7} iterations, loss {loss:.6f}")
    if trainer.done < recipe.iterations:
        sys.stderr.write(
            f"upscaler-train: interrupted after {trainer.done} iterations; {checkpoint} is saved, "
            "go on with --resume\n"
        )
        raise typer.Exit(EXIT_INTERRUPTED)
    console.print(f"done: {checkpoint}")


@app.command()
def quantise(
    checkpoint: Annotated[Path, typer.Option(help="What training left.", metavar="FILE")],
    data: Data,
    out: Out,
    adaround_iterations: Annotated[
        int, typer.Option(help="Iterations of AdaRound a layer; 0 rounds to nearest.", min=0)
    ] = 10_000,
    recipe_name: RecipeName = "small-x2",
    *,
    # AdaRound's batches are too small to share: a second thread gains little on an idle machine
    # and made it 11 times slower on a busy one (110 ms instead of 10 ms an iteration, 2 cores).
    threads: Threads = 1,
) -> None:
    """Quantise a trained network to int8; writes it and its float original as ONNX models."""
    _prepare_torch(threads)
    from rich.console import Console

    from trainer.checkpoint import load_checkpoint
    from trainer.data import load_split
    from trainer.evaluate import evaluate_filter
    from trainer.export import Provenance, describe_data, export_float, export_quantised
    from trainer.quantise import Quantisation
    from trainer.quantise import quantise as quantise_network
    from trainer.recipes import find_recipe

    recipe = find_recipe(recipe_name)
    network, done = load_checkpoint(checkpoint)
    if network.architecture != recipe.architecture:
        msg = f"{checkpoint} holds another architecture than the recipe {recipe_name}"
        raise BadRequestError(msg)
    scale = network.architecture.scale
    pairs = load_split(data, split="train", scale=scale)
    test = load_split(data, split="test", scale=scale)
    provenance = Provenance(
        training=f"recipe {recipe_name}, {done} iterations ({recipe.summary})",
        data=describe_data(pairs),
        licence=WEIGHTS_LICENCE,
    )
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{checkpoint}: {done} iterations; quantising with {len(pairs)} training pairs")
    original = export_float(network, test, out, provenance)
    how = Quantisation(adaround_iterations=adaround_iterations)
    quantised = quantise_network(network, pairs, how)
    exported = export_quantised(quantised, test, out, provenance, quantisation=how.summary)
    _print_table(
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


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="A shipped model's name, or a file.", metavar="NAME")],
    data: Data,
    split: Annotated[str, typer.Option(help="Split of the manifest.")] = "test",
) -> None:
    """Print RGB PSNR of a model beside bicubic, by game, over whole frames."""
    _prepare_torch(None)
    from trainer.data import load_split
    from trainer.evaluate import evaluate as evaluate_upscale
    from trainer.evaluate import evaluate_filter
    from trainer.export import opened
    from upscaler.models.library import find_model

    found = find_model(model)
    pairs = load_split(data, split=split, scale=found.card.ratio)
    bicubic = evaluate_filter("bicubic", pairs, found.card.ratio)
    with opened(found) as upscale:
        _print_table({"bicubic": bicubic, found.card.name: evaluate_upscale(upscale, pairs)})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error is one line on stderr and exit code 2.

    `arguments` are those of the process when None.
    """
    try:
        app(arguments)
    except UpscalerError as error:
        sys.stderr.write(f"upscaler-train: {error}\n")
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("upscaler-train: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)


def _prepare_torch(threads: int | None) -> None:
    """Raise EngineError when torch is missing, before anything that needs it loads."""
    try:
        import torch
    except ImportError as error:
        msg = f"this command needs PyTorch ({error}); pip install 'upscaler[train]'"
        raise EngineError(msg) from error
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def _interrupt_noted() -> Iterator[Event]:
    """Note the first Ctrl-C, for training ends between two steps; the second ends it at once."""
    noted = Event()

    def receive(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        noted.set()

    before = signal.signal(signal.SIGINT, receive)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _print_table(evaluations: dict[str, Evaluation]) -> None:
    """Print mean PSNR by game and over all frames, one row for each method."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="RGB PSNR in dB, whole frames", title_justify="left")
    table.add_column("method")
    first = next(iter(evaluations.values()))
    for column in (*first.by_game_db, "mean"):
        table.add_column(column, justify="right")
    for method, each in evaluations.items():
        numbers = (*each.by_game_db.values(), each.mean_db)
        table.add_row(method, *(f"{number:.3f}" for number in numbers))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
