"""`upscaler-train prepare`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadRequestError

if TYPE_CHECKING:
    from trainer.prepare import Report
    from trainer.sources import Source

SHOWN = 10
"""Dropped pairs that are named on the screen; all are in store.json."""


def prepare(
    out: Annotated[Path, typer.Option(help="Store to write, a new folder.", metavar="DIR")],
    data: Annotated[
        Path | None, typer.Option(help="Frames listed by a manifest.json.", metavar="DIR")
    ] = None,
    high: Annotated[
        Path | None,
        typer.Option(help="High-resolution frames; a sub-folder is a scene.", metavar="DIR"),
    ] = None,
    low: Annotated[
        Path | None,
        typer.Option(help="Low-resolution renders, named like those in --high.", metavar="DIR"),
    ] = None,
    degradation: Annotated[
        str | None,
        typer.Option(help='Make low-resolution frames: "bicubic", "area" or "point".'),
    ] = None,
    scale: Annotated[str, typer.Option(help="1.5, 2, 3 or 4.")] = "2",
    game: Annotated[
        str | None, typer.Option(help="Name of the game, for folders; that of --high by default.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of the frames, for folders.")] = None,
    validation: Annotated[
        float | None,
        typer.Option(help="Share of whole scenes; 0.1 by default.", min=0, max=0.5),
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            help="Validate with this scene, SCENE or GAME/SCENE, instead of a share; repeatable.",
            metavar="SCENE",
        ),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(help="Share of scenes, for folders; 0.1 by default.", min=0, max=0.5),
    ] = None,
    *,
    scene_per_file: Annotated[
        bool, typer.Option("--scene-per-file", help="Every image is a scene: photographs.")
    ] = False,
) -> None:
    """Check pairs of frames and write them into one memory-mapped store.

    From --data; from --low and --high; or from --high, or --data, with --degradation.
    """
    from protocol.frames import parse_scale
    from trainer.degrade import parse_degradation
    from trainer.prepare import CONTACT
    from trainer.prepare import prepare as write_store
    from trainer.sources import folder_sources, manifest_sources
    from upscaler.console import console, progress

    ratio = parse_scale(scale)
    kind = None if degradation is None else parse_degradation(degradation)
    _check_sources(data=data, high=high, low=low, degraded=kind is not None)
    if hold_out and validation is not None:
        msg = "--hold-out names the scenes to validate with; leave --validation to shares"
        raise BadRequestError(msg)
    if out.exists():
        msg = f"{out} exists; name another folder or remove it"
        raise BadRequestError(msg)
    sources: list[Source]
    if data is not None:
        if game is not None or licence is not None or test is not None or scene_per_file:
            msg = "a manifest names game, scene, licence and test split; leave those options to it"
            raise BadRequestError(msg)
        sources = manifest_sources(
            data,
            scale=ratio,
            degraded=kind is not None,
            validation=validation,
            hold_out=hold_out or (),
        )
    else:
        assert high is not None
        if not licence:
            msg = "name the frames' licence with --licence, such as 'all rights reserved'"
            raise BadRequestError(msg)
        sources = folder_sources(
            high,
            low=low,
            game=game or high.resolve().name,
            licence=licence,
            validation=validation,
            test=test,
            hold_out=hold_out or (),
            scene_per_file=scene_per_file,
        )
    with progress() as bar:
        task = bar.add_task("preparing", total=len(sources))
        report = write_store(
            sources, out, scale=ratio, degradation=kind, advance=lambda: bar.advance(task)
        )
    _print(report, scale=ratio, degradation=degradation)
    console.print(f"{out} is ready; look at {out / CONTACT}", markup=False, soft_wrap=True)


def _check_sources(
    *, data: Path | None, high: Path | None, low: Path | None, degraded: bool
) -> None:
    """Raise BadRequestError unless the options name one source of pairs."""
    if (data is None) == (high is None):
        msg = "name either --data, a folder with a manifest, or --high, a folder of frames"
    elif data is not None and low is not None:
        msg = "--data names the low-resolution frames itself; leave --low to --high"
    elif high is not None and (low is None) != degraded:
        msg = "--high needs either --low, native renders, or --degradation, which makes them"
    else:
        return
    raise BadRequestError(msg)


def _print(report: Report, *, scale: Fraction, degradation: str | None) -> None:
    from rich.markup import escape

    from upscaler.console import console, table

    made = "native renders" if degradation is None else f"degraded by {degradation}"
    shown = table(
        f"pairs at {float(scale):g}x, {made}", "game", "split", "scenes", "pairs", "megapixels"
    )
    for group in report.groups:
        shown.add_row(
            escape(group.game),
            group.split,
            str(group.scenes),
            str(group.pairs),
            f"{group.megapixels:.1f}",
        )
    console.print(shown)
    if report.shifts_px:
        console.print(
            f"shift of low against high: median {median(report.shifts_px):.3f}, largest "
            f"{max(report.shifts_px):.3f} low-resolution pixels",
            soft_wrap=True,
        )
    if report.cropped:
        console.print(
            f"{report.cropped} frames lost rows at the bottom or columns at the right, to be "
            f"multiples of {scale.numerator}",
            soft_wrap=True,
        )
    for title, remarks in (("dropped", report.dropped), ("noted", report.noted)):
        for remark in remarks[:SHOWN]:
            console.print(f"{title}: {remark.name} {remark.reason}", markup=False, soft_wrap=True)
        if len(remarks) > SHOWN:
            more = len(remarks) - SHOWN
            console.print(f"{title}: {more} more, see store.json", soft_wrap=True)
    for warning in report.warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
