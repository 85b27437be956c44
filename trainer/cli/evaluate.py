"""`upscaler-train evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.options import PairsFolder, prepare_torch

if TYPE_CHECKING:
    from trainer.evaluate import Evaluation


def evaluate(
    model: Annotated[str, typer.Option(help="A shipped model's name, or a file.", metavar="NAME")],
    data: PairsFolder,
    split: Annotated[str, typer.Option(help="Split of the manifest.")] = "test",
) -> None:
    """Print RGB PSNR of a model beside bicubic, by game, over whole frames."""
    prepare_torch(None)
    from trainer.data import load_pairs
    from trainer.evaluate import evaluate as evaluate_upscale
    from trainer.evaluate import evaluate_filter
    from trainer.export import opened
    from upscaler.models.library import find_model

    found = find_model(model)
    pairs = load_pairs(data, split=split, scale=found.card.ratio)
    bicubic = evaluate_filter("bicubic", pairs, found.card.ratio)
    with opened(found) as upscale:
        print_table({"bicubic": bicubic, found.card.name: evaluate_upscale(upscale, pairs)})


def print_table(evaluations: dict[str, Evaluation]) -> None:
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
