"""The commands of `upscaler bench` and their options. What they run loads when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upscaler.cli import latency_commands
from upscaler.cli.options import Engine, InputSize, parse_size

bench = typer.Typer(
    help="Measure speed and quality; everything compared is measured in one run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
latency_commands.register(bench)


@bench.command("capture")
def bench_capture(
    part: Annotated[
        list[str] | None,
        typer.Option(help="capture, pacing or viewer; repeatable. All by default.", metavar="NAME"),
    ] = None,
    size: InputSize = "960x540",
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Methods for the viewer part; repeatable. nearest, fsr1 and quicksrnet-small by "
            "default.",
            metavar="NAME",
        ),
    ] = None,
    engine: Engine = "auto",
    rounds: Annotated[int, typer.Option(help="Turns of everything that is compared.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Seconds of each turn.", min=0.1)] = 3.0,
) -> None:
    """Time capturing the screen and its pace, and what the live view costs, in turns."""
    from upscaler.cli.bench_capture import run

    run(
        parts=part or [],
        size=parse_size(size),
        methods=method or [],
        engine=engine,
        rounds=rounds,
        seconds=seconds,
    )


@bench.command("engine")
def bench_engine(
    size: InputSize = "960x540",
    scale: Annotated[str, typer.Option(help="2, 3, 4 or 1.5.")] = "2",
    pixel_format: Annotated[str, typer.Option("--format", help="rgb8, rgba8, ...")] = "rgb8",
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Engines to compare; repeatable. openvino and onnxruntime by default."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Networks, on each engine, and filters; repeatable. The default network and all "
            "filters by default."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Frames for each.", min=3)] = 30,
    threads: Annotated[int, typer.Option(help="Threads of each engine.", min=1)] = 2,
) -> None:
    """Time inference and filters alone, interleaved frame by frame."""
    from upscaler.bench.engine import run

    run(
        size=parse_size(size),
        scale=scale,
        pixel_format=pixel_format,
        engines=engine or ["openvino", "onnxruntime"],
        rounds=rounds,
        threads=threads,
        methods=method or [],
    )


@bench.command("filters")
def bench_filters(
    size: Annotated[
        list[str] | None,
        typer.Option(help="Sizes of the input; repeatable. 960x540 and 1920x1080 by default."),
    ] = None,
    scale: Annotated[str, typer.Option(help="A ratio from 1 to 4.")] = "2",
    pixel_format: Annotated[str, typer.Option("--format", help="rgb8, rgba8, ...")] = "rgb8",
    rounds: Annotated[int, typer.Option(help="Frames for each.", min=3)] = 30,
) -> None:
    """Time every filter, interleaved frame by frame, beside OpenCV's bicubic."""
    from upscaler.bench.filters import run

    sizes = [parse_size(each) for each in size or ["960x540", "1920x1080"]]
    run(sizes=sizes, scale=scale, pixel_format=pixel_format, rounds=rounds)


@bench.command("load")
def bench_load(
    model: Annotated[
        str, typer.Option(help="A shipped model by name, or a file.", metavar="NAME|FILE")
    ] = "quicksrnet-small-x2",
    size: InputSize = "960x540",
    pixel_format: Annotated[str, typer.Option("--format", help="rgb8, rgba8, ...")] = "rgb8",
    rounds: Annotated[int, typer.Option(help="Starts of each kind.", min=1)] = 7,
) -> None:
    """Time loading on the NPU without a cache, with an empty one and with a full one."""
    from upscaler.bench.load import run

    run(model, size=parse_size(size), pixel_format=pixel_format, rounds=rounds)


@bench.command("overhead")
def bench_overhead(
    size: InputSize = "960x540",
    scale: Annotated[str, typer.Option(help="2, 3, 4 or 1.5.")] = "2",
    pixel_format: Annotated[str, typer.Option("--format", help="rgb8, rgba8, ...")] = "rgba8",
    method: Annotated[
        list[str] | None, typer.Option(help="Methods; repeatable. All by default.")
    ] = None,
    engine: Engine = "auto",
    frames: Annotated[int, typer.Option(help="Frames for each method.", min=10)] = 200,
    soak: Annotated[
        int, typer.Option(help="Frames at full rate, to see what grows; 0 leaves it out.", min=0)
    ] = 10_000,
    seconds: Annotated[
        float, typer.Option(help="Seconds of each turn of one and of two clients.", min=0.1)
    ] = 1.5,
    tcp: Annotated[bool, typer.Option("--tcp", help="Use tcp instead of ipc.")] = False,
) -> None:
    """Time what the service adds, in shared memory and inline; two clients; many frames."""
    from upscaler.bench.overhead import run

    run(
        size=parse_size(size),
        scale=scale,
        pixel_format=pixel_format,
        methods=method or [],
        engine=engine,
        frames=frames,
        soak_frames=soak,
        seconds=seconds,
        tcp=tcp,
    )


@bench.command("quality")
def bench_quality(
    frames: Annotated[Path, typer.Option(help="Folder of pairs with a manifest.json.")],
    split: Annotated[str, typer.Option(help="Which split to measure.")] = "test",
    scale: Annotated[str, typer.Option(help="2, 3, 4 or 1.5.")] = "2",
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Engines for the quantised model; repeatable. npu may be emulated."),
    ] = None,
) -> None:
    """Compare methods, and engines with one another, in RGB PSNR against native renders."""
    from upscaler.bench.quality import run

    run(frames, split=split, scale=scale, engines=engine or ["openvino", "onnxruntime"])


@bench.command("reuse")
def bench_reuse(
    size: InputSize = "960x540",
    scale: Annotated[str, typer.Option(help="2, 3, 4 or 1.5.")] = "2",
    pixel_format: Annotated[str, typer.Option("--format", help="rgb8, rgba8, ...")] = "rgba8",
    engine: Engine = "auto",
    rounds: Annotated[int, typer.Option(help="Frames of each scene.", min=3)] = 30,
    threads: Annotated[int, typer.Option(help="Threads of the engine.", min=1)] = 2,
) -> None:
    """Time a network with and without reuse of unchanged pixels, in turns, on real frames."""
    from upscaler.bench.reuse import run

    run(
        size=parse_size(size),
        scale=scale,
        pixel_format=pixel_format,
        engine=engine,
        rounds=rounds,
        threads=threads,
    )
