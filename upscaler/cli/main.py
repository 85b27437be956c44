"""The commands and their options. Everything behind them loads when a command runs.

`upscaler --help` must answer at once, so this module imports typer and nothing heavier.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from upscaler.cli.npu_commands import cache, npu
from upscaler.cli.options import Cache, Contexts, InputSize, NpuOption, npu_settings, parse_size
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
bench = typer.Typer(
    help="Measure speed and quality; everything compared is measured in one run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(bench, name="bench")
app.add_typer(npu, name="npu")
app.add_typer(cache, name="cache")

Engine = Annotated[
    str,
    typer.Option(
        help="auto, npu, openvino or onnxruntime. auto never picks an emulated NPU.",
        metavar="NAME",
    ),
]
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


@bench.command("engine")
def bench_engine(
    size: InputSize = "960x540",
    scale: Annotated[str, typer.Option(help="2, 3, 4 or 1.5.")] = "2",
    pixel_format: Annotated[str, typer.Option("--format", help="rgb8, rgba8, ...")] = "rgb8",
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Engines to compare; repeatable. openvino and onnxruntime by default."),
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
    ipc: Annotated[bool, typer.Option("--ipc", help="Use ipc instead of tcp.")] = False,
) -> None:
    """Time a frame's round trip through a real service process, stage by stage."""
    from upscaler.bench.overhead import run

    run(
        size=parse_size(size),
        scale=scale,
        pixel_format=pixel_format,
        methods=method or [],
        engine=engine,
        frames=frames,
        ipc=ipc,
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


def main() -> NoReturn:
    """Run the command line; an error is one line on stderr and exit code 2."""
    run(app, "upscaler")
