"""`upscaler bench latency`, `diff` and `history`, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upscaler.cli.options import Engine

EXIT_MISSED = 1


def register(bench: typer.Typer) -> None:
    """Add the commands to `upscaler bench`."""
    bench.command("latency")(bench_latency)
    bench.command("diff")(bench_diff)
    bench.command("history")(bench_history)


def bench_latency(
    out: Annotated[Path, typer.Option(help="Folder for run.json, the report and the rest.")],
    targets: Annotated[
        str,
        typer.Option(help="Sizes of the results: heights in 16:9, or WxH.", metavar="LIST"),
    ] = "540p,720p,1080p,1440p,2160p",
    scale: Annotated[str, typer.Option(help="Ratios, such as 2,1.5.", metavar="LIST")] = "2,1.5",
    methods: Annotated[
        str,
        typer.Option(help="Networks and filters; fsr1:stops=0.5 sets options.", metavar="LIST"),
    ] = "quicksrnet-small,fsr1,bicubic",
    engine: Engine = "auto",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", help="A shipped model or an .onnx file. Repeatable.", metavar="NAME|FILE"
        ),
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames of each combination.", min=1)] = 300,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Open loop: send so many frames a second, ready or not. Without it, the next "
            "frame is sent when the last has come back.",
            show_default=False,
        ),
    ] = None,
    device_only: Annotated[
        bool, typer.Option("--device-only", help="The engine alone, without a service.")
    ] = False,
    transport: Annotated[
        str | None,
        typer.Option(help="shm (the default) or inline.", metavar="NAME", show_default=False),
    ] = None,
    delivery: Annotated[
        str | None,
        typer.Option(
            help="every (the default) drops no frame; latest is what games use.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(help="clip, synthetic, or a folder of images or a video.", metavar="SOURCE"),
    ] = "clip",
    pixel_format: Annotated[str, typer.Option("--format", help="rgb8, rgba8, ...")] = "rgba8",
    threads: Annotated[
        int | None, typer.Option(help="Threads of the engine; all cores by default.", min=1)
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(help="For all combinations together: slow ones get fewer frames.", min=1),
    ] = 240.0,
    rounds: Annotated[
        int,
        typer.Option(
            help="Go through all combinations so often, each time for a part of the frames; "
            "intervals are made of what differs between rounds.",
            min=1,
        ),
    ] = 3,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            help="A limit, such as 1080p:p99=16.7 or 2x/fsr1:p50=8, or a TOML file. Repeatable; "
            "a miss is exit code 1.",
            metavar="LIMIT|FILE",
        ),
    ] = None,
) -> None:
    """Measure latency through the real service, by size, scale and method; for QA."""
    from upscaler.cli.latency import run

    missed = run(
        out,
        targets=targets,
        scales=scale,
        methods=methods,
        engine=engine,
        models=model or [],
        frames=frames,
        fps=fps,
        device_only=device_only,
        transport=transport,
        delivery=delivery,
        source=source,
        pixel_format=pixel_format,
        threads=threads,
        seconds=seconds,
        rounds=rounds,
        budgets=budget or [],
    )
    raise typer.Exit(EXIT_MISSED if missed else 0)


def bench_diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A run.json, or its folder.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    tolerance: Annotated[
        float, typer.Option(help="How far apart medians may be, as a share.", min=0, max=0.99)
    ] = 0.05,
) -> None:
    """Compare two runs: faster, slower or no difference; exit code 1 where one got slower."""
    from upscaler.cli.latency_files import diff

    raise typer.Exit(EXIT_MISSED if diff(before, after, tolerance=tolerance) else 0)


def bench_history(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of runs.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for history.html and history.png; DIR by default."),
    ] = None,
) -> None:
    """Plot the runs of a folder over time."""
    from upscaler.cli.latency_files import history

    history(folder, out or folder)
