"""The commands and their options. Everything behind them loads when a command runs.

`upscaler --help` must answer at once, so this module imports typer and nothing heavier.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from upscaler.cli import capture_commands, conformance_commands, service_commands
from upscaler.cli.bench_commands import bench
from upscaler.cli.npu_commands import cache, npu
from upscaler.cli.options import (
    Cache,
    Contexts,
    Engine,
    NpuOption,
    Reuse,
    npu_settings,
)
from upscaler.cli.running import run

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5560"

# Plain help: rich's panels alone would take longer than everything else together.
app = typer.Typer(
    help="Real-time game upscaling: QuickSRNet in 8 bits beside FSR1 and bicubic.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(bench, name="bench")
app.add_typer(npu, name="npu")
service_commands.register(app, DEFAULT_ENDPOINT)
capture_commands.register(app)
conformance_commands.register(app)
app.add_typer(cache, name="cache")

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="A shipped model by name, or an .onnx file with a model card. Repeatable.",
        metavar="NAME|FILE",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="quicksrnet-small (the default), quicksrnet-medium, fsr1, easu, sgsr1, nis, bicubic, "
        "bicubic-matlab, lanczos, bilinear or nearest; fsr1:stops=0.5,denoise sets options.",
        metavar="NAME",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None, typer.Option(help="Threads of the engine; all cores by default.", min=1, max=256)
]
Scale = Annotated[
    str | None,
    typer.Option(
        help="2 (the default), 3, 4 or 1.5; filters take any from 1 to 4, and ultra-quality, "
        "quality, balanced and performance.",
        show_default=False,
    ),
]
TargetSize = Annotated[
    str | None, typer.Option("--size", help="Size of the result, filters only.", metavar="WxH")
]
Sharpness = Annotated[
    float, typer.Option(help="FSR1 sharpness in stops; 0 is sharpest.", metavar="STOPS")
]


@app.command()
def serve(
    bind: Annotated[
        str, typer.Option(help="tcp://127.0.0.1:PORT or ipc://PATH.", metavar="ENDPOINT")
    ] = DEFAULT_ENDPOINT,
    engine: Engine = "auto",
    model: Models = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Offer this method only; the first is the default. Repeatable.", metavar="NAME"
        ),
    ] = None,
    threads: Threads = None,
    metrics: Annotated[
        int | None,
        typer.Option(
            help="Serve Prometheus metrics at http://127.0.0.1:PORT/metrics; 0 takes a free port.",
            metavar="PORT",
            min=0,
            max=65535,
        ),
    ] = None,
    viewer: Annotated[
        int | None,
        typer.Option(
            help="Serve a page that shows and compares what clients send, at "
            "http://127.0.0.1:PORT; 0 takes a free one.",
            metavar="PORT",
            min=0,
            max=65535,
        ),
    ] = None,
    reuse_unchanged: Reuse = False,
    options: NpuOption = None,
    context: Contexts = None,
    keep: Cache = True,
    until_stdin_closes: Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)] = False,
) -> None:
    """Run the service until SIGINT or SIGTERM."""
    from upscaler.cli.serve import run

    run(
        bind,
        engine=engine,
        models=model or [],
        methods=method or [],
        threads=threads,
        metrics=metrics,
        viewer=viewer,
        reuse=reuse_unchanged,
        npu=npu_settings(options, context, cache=keep),
        until_stdin_closes=until_stdin_closes,
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures and summary.json.")],
    engine: Engine = "auto",
    seconds: Annotated[float, typer.Option(help="How long the clip plays.", min=1, max=3600)] = 10,
) -> None:
    """Play a real game clip through the service and leave pictures of what came back."""
    from upscaler.demo.run import run

    run(out, engine=engine, seconds=seconds)


@app.command()
def image(
    source: Annotated[Path, typer.Argument(metavar="IN")],
    target: Annotated[Path, typer.Argument(metavar="OUT")],
    method: Method = None,
    scale: Scale = None,
    size: TargetSize = None,
    sharpness: Sharpness = 0.2,
    engine: Engine = "auto",
    model: Models = None,
    threads: Threads = None,
    options: NpuOption = None,
    context: Contexts = None,
    keep: Cache = True,
) -> None:
    """Upscale an image file; alpha is kept."""
    from upscaler.cli.files import FileJob, upscale_image

    upscale_image(
        source,
        target,
        FileJob.parse(
            method=method,
            scale=scale,
            target=size,
            sharpness=sharpness,
            engine=engine,
            models=model or [],
            threads=threads,
            npu=npu_settings(options, context, cache=keep),
        ),
    )


@app.command()
def video(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A video or a folder of images.")],
    target: Annotated[Path, typer.Argument(metavar="OUT")],
    method: Method = None,
    scale: Scale = None,
    size: TargetSize = None,
    sharpness: Sharpness = 0.2,
    engine: Engine = "auto",
    model: Models = None,
    threads: Threads = None,
    reuse_unchanged: Reuse = False,
    options: NpuOption = None,
    context: Contexts = None,
    keep: Cache = True,
) -> None:
    """Upscale a video file, or a folder of images into a video; without sound."""
    from upscaler.cli.files import FileJob, upscale_video

    upscale_video(
        source,
        target,
        FileJob.parse(
            method=method,
            scale=scale,
            target=size,
            sharpness=sharpness,
            engine=engine,
            models=model or [],
            threads=threads,
            reuse=reuse_unchanged,
            npu=npu_settings(options, context, cache=keep),
        ),
    )


@app.command()
def compare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...",
            help="A folder of pairs with a manifest.json, a folder of images, an image or a video.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report and the pictures.")],
    native: Annotated[
        list[Path] | None,
        typer.Option(
            help="Native renders of IN, with the same names; one for each IN. Without them the "
            "methods are compared with one another alone.",
            metavar="PATH",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="What to compare; repeatable. A filter with options, a network, a shipped model "
            "or a file; NETWORK@ENGINE chooses the engine. quicksrnet-small, fsr1 and bicubic by "
            "default.",
            metavar="NAME",
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Engines for the networks; repeatable. auto by default.", metavar="NAME"),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="Which pairs of a manifest, or how far without native renders.")
    ] = "2",
    split: Annotated[str, typer.Option(help="Which split of a manifest.")] = "test",
    sequence: Annotated[
        bool,
        typer.Option("--sequence", help="The images of a folder are consecutive frames: flicker."),
    ] = False,
    pictures: Annotated[
        int, typer.Option(help="Frames to keep pictures of, the worst ones.", min=0)
    ] = 24,
    flip: Annotated[bool, typer.Option(help="Measure FLIP and draw its maps.")] = True,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave frames out that cannot be compared.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Compare methods on the same frames: an HTML report, JSON and pictures."""
    from upscaler.cli.compare import run

    code = run(
        sources,
        natives=native or [],
        out=out,
        methods=method or [],
        engines=engine or ["auto"],
        scale=scale,
        split=split,
        sequence=sequence,
        pictures=pictures,
        flip=flip,
        keep_going=keep_going,
        threads=threads,
    )
    raise typer.Exit(code)


@app.command()
def metrics(
    pictures: Annotated[Path, typer.Argument(metavar="A", help="An image, or a folder of them.")],
    references: Annotated[Path, typer.Argument(metavar="B", help="What A should look like.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    shave: Annotated[int, typer.Option(help="Pixels at each side that do not count.", min=0)] = 0,
    flip: Annotated[bool, typer.Option(help="Measure FLIP.")] = True,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave pictures out that cannot be measured.")
    ] = False,
) -> None:
    """Measure PSNR, SSIM and FLIP between two images, or two folders with the same names."""
    from upscaler.cli.metrics import run

    code = run(pictures, references, as_json=as_json, shave=shave, flip=flip, keep_going=keep_going)
    raise typer.Exit(code)


@app.command()
def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for bug reports, instead of a table.")
    ] = False,
) -> None:
    """Check this machine: packages, CPU, NPU and a self-test of every engine."""
    from upscaler.cli.doctor import run

    raise typer.Exit(run(as_json=as_json))


def main() -> NoReturn:
    """Run the command line; an error is one line on stderr and exit code 2."""
    run(app, "upscaler")
