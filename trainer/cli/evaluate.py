"""`upscaler-train evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadRequestError
from trainer.cli.options import PairsFolder, prepare_torch

if TYPE_CHECKING:
    from fractions import Fraction

    from rich.table import Table

    from trainer.comparison import Compared
    from trainer.evaluate import Evaluation, Metric
    from trainer.methods import Method
    from upscaler.metrics import Interval

FILTERS = ("bicubic", "fsr1")
CHECKPOINT_SUFFIX = ".pt"
SEQUENCE_SPLIT = "sequence"
TITLES: dict[Metric, tuple[str, int]] = {
    "psnr_db": ("PSNR RGB", 3),
    "psnr_y_db": ("PSNR Y", 3),
    "ssim_rgb": ("SSIM RGB", 4),
    "ssim_y": ("SSIM Y", 4),
    "flip": ("FLIP (less is better)", 4),
}
"""Heading and decimals of each metric."""
FLICKER_TITLE, FLICKER_DECIMALS = "flicker (less is better)", 3


def evaluate(
    data: PairsFolder,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A shipped model's name, an .onnx file or a checkpoint .pt; repeatable.",
            metavar="NAME|FILE",
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="Filters to compare with; repeatable. bicubic and fsr1 by default.",
            metavar="NAME",
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="auto (the default), openvino, onnxruntime or npu, which x86 emulates; "
            "repeatable: every model runs on each.",
            metavar="NAME",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the frames.")] = "test",
    scale: Annotated[
        str | None, typer.Option(help="1.5, 2, 3 or 4; that of the models, or 2.")
    ] = None,
    shave: Annotated[
        list[int] | None,
        typer.Option(
            help="Pixels to leave out at each side; repeatable. 0 and the scale by default.",
            metavar="PIXELS",
            min=0,
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Measure FLIP too.")] = False,
    sequences: Annotated[
        bool, typer.Option("--sequences", help="Measure flicker on the split 'sequence' too.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Only the first frames, also of each sequence.", min=2)
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="File for every number.", metavar="FILE")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of an engine; all cores by default.", min=1, max=256)
    ] = None,
) -> None:
    """Compare filters and models: PSNR, SSIM, FLIP and flicker against native renders."""
    from math import ceil

    from trainer.comparison import compare, count_work, report, write_report
    from trainer.data import load_pairs
    from trainer.evaluate import sequences_of
    from upscaler.console import progress

    if json is not None and (json.is_dir() or not json.parent.is_dir()):
        msg = f"cannot write {json}: name a file in a folder that is there"
        raise BadRequestError(msg)
    with ExitStack() as opened:
        methods, ratio = _open(
            filters or FILTERS,
            model or [],
            engine or ["auto"],
            wanted=scale,
            threads=threads,
            opened=opened,
        )
        pairs = load_pairs(data, split=split, scale=ratio)[:limit]
        moving = (
            [
                sequence[:limit]
                for sequence in sequences_of(load_pairs(data, split=SEQUENCE_SPLIT, scale=ratio))
            ]
            if sequences
            else []
        )
        with progress() as bar:
            task = bar.add_task("frames x methods", total=count_work(methods, pairs, moving))
            compared = compare(
                methods,
                pairs,
                shaves=sorted(set(shave or [0, ceil(ratio)])),
                flip=flip,
                sequences=moving,
                advance=lambda: bar.advance(task),
            )
    what = f"{data.resolve().name}, split {split!r} at {float(ratio):g}x, {len(pairs)} frames"
    _print_scores(compared, what)
    if len(compared[0].evaluations[0].by_game_db) > 1:
        print_table({each.method.label: each.evaluations[0] for each in compared})
    if json is not None:
        about = {"data": str(data), "split": split, "scale": str(ratio), "frames": len(pairs)}
        write_report(json, report(compared, **about))


def print_table(evaluations: dict[str, Evaluation]) -> None:
    """Print mean RGB PSNR by game and over all frames, one row for each method."""
    from upscaler.console import table

    first = next(iter(evaluations.values()))
    border = f"{first.shave} pixels shaved" if first.shave else "whole frames"
    shown = table(f"RGB PSNR in dB, {border}", "method", *first.by_game_db, "mean")
    for method, each in evaluations.items():
        numbers = (*each.by_game_db.values(), each.mean_db)
        shown.add_row(method, *(f"{number:.3f}" for number in numbers))
    _print(shown)


def _open(
    filters: Sequence[str],
    models: Sequence[str],
    engines: Sequence[str],
    *,
    wanted: str | None,
    threads: int | None,
    opened: ExitStack,
) -> tuple[list[Method], Fraction]:
    """Open every filter, every model on every engine and every checkpoint, and find the scale."""
    from fractions import Fraction

    from protocol.frames import parse_scale
    from trainer.methods import checkpoint_method, filter_method, model_method
    from upscaler.models.library import find_model

    networks: list[Method] = []
    scales: dict[str, Fraction] = {}
    for name in models:
        if name.endswith(CHECKPOINT_SUFFIX):
            prepare_torch(threads)
            method, scales[name] = checkpoint_method(Path(name))
            networks.append(method)
            continue
        found = find_model(name)
        scales[name] = found.card.ratio
        networks += [model_method(found, each, name=name, threads=threads) for each in engines]
    ratio = parse_scale(wanted) if wanted else next(iter(scales.values()), Fraction(2))
    for name, each in scales.items():
        if each != ratio:
            msg = f"{name} upscales by {each}, not by {ratio}; evaluate one scale at a time"
            raise BadRequestError(msg)
    methods = [*(filter_method(name, ratio) for name in filters), *networks]
    # "auto" may be an engine that was named as well.
    distinct = {method.label: method for method in methods}
    return [opened.enter_context(method) for method in distinct.values()], ratio


def _print_scores(compared: Sequence[Compared], what: str) -> None:
    """Print a table for each shave: means, and the interval of the difference to the first row."""
    from trainer.comparison import difference, flicker_difference, metrics_of
    from upscaler.console import table

    baseline = compared[0]
    for index, base in enumerate(baseline.evaluations):
        border = f"{base.shave} pixels shaved off each side" if base.shave else "whole frames"
        title = (
            f"{what}, {border}\n"
            f"below each mean: 95 % interval of the difference to {baseline.method.name}"
        )
        flicker = [FLICKER_TITLE] if baseline.flicker and index == 0 else []
        metrics = metrics_of(base)
        headings = [TITLES[metric][0] for metric in metrics]
        shown = table(title, "method", *headings, *flicker)
        for each in compared:
            evaluation = each.evaluations[index]
            cells = [
                _cell(
                    evaluation.mean(metric),
                    difference(evaluation, base, metric) if each is not baseline else None,
                    TITLES[metric][1],
                )
                for metric in metrics
            ]
            if flicker:
                change = flicker_difference(each, baseline) if each is not baseline else None
                cells.append(_cell(each.mean_flicker, change, FLICKER_DECIMALS))
            shown.add_row(f"{each.method.name}\n{each.method.runs}", *cells, end_section=True)
        _print(shown)


def _cell(mean: float, change: Interval | None, decimals: int) -> str:
    if change is None:
        return f"{mean:.{decimals}f}"
    return f"{mean:.{decimals}f}\n{change.low:+.{decimals}f} to {change.high:+.{decimals}f}"


def _print(shown: Table) -> None:
    from upscaler.console import console

    console.print(shown)
