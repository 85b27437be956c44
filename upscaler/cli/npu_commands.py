"""`upscaler npu` and `upscaler cache`: the commands and their options.

Imported for every command line, so nothing heavier than typer is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upscaler.cli.options import InputSize, NpuOption, parse_size, parse_sizes

npu = typer.Typer(
    help="What runs on the Qualcomm NPU; emulated on x86_64, and said so.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
cache = typer.Typer(
    help="What was compiled for the NPU at run time and is kept on disk.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Model = Annotated[
    str,
    typer.Option(
        help="A method with --scale, a shipped model by name, or an .onnx file with a model card.",
        metavar="NAME|FILE",
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(help="2 (the default of a method), 3, 4 or 1.5.", show_default=False),
]


@npu.command("certify")
def npu_certify(
    model: Model,
    size: InputSize = "960x540",
    scale: Scale = None,
    pixel_format: Annotated[str, typer.Option("--format", help="rgb8, rgba8, ...")] = "rgb8",
    out: Annotated[Path | None, typer.Option(help="Write JSON there, too.", metavar="FILE")] = None,
    options: NpuOption = None,
) -> None:
    """Show every operator of the compiled model, where it runs and its cycles; run it once."""
    from upscaler.cli.npu import certify

    certify(
        model,
        size=parse_size(size),
        scale=scale,
        pixel_format=pixel_format,
        out=out,
        options=options or [],
    )


@npu.command("compile")
def npu_compile(
    model: Model,
    sizes: Annotated[
        str,
        typer.Option(
            help="Sizes of the input, with commas: 540p is 960x540, 720p is 1280x720.",
            metavar="SIZES",
        ),
    ],
    soc: Annotated[
        str,
        typer.Option(
            help="Chips, with commas, by code or name: sm8650,'x elite'. See upscaler npu socs.",
            metavar="CHIPS",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for contexts and manifest.", metavar="DIR")],
    scale: Scale = None,
    pixel_formats: Annotated[
        str, typer.Option("--format", help="rgb8,rgba8,...", metavar="FORMATS")
    ] = "rgb8",
    together: Annotated[
        bool,
        typer.Option("--together", help="One context for all the chips, in place of one each."),
    ] = False,
    options: NpuOption = None,
) -> None:
    """Compile a model for named chips, without having one; serve --context DIR loads it."""
    from upscaler.cli.npu import compile_contexts

    compile_contexts(
        model,
        scale=scale,
        sizes=parse_sizes(sizes),
        pixel_formats=pixel_formats.split(","),
        socs=soc,
        together=together,
        out=out,
        options=options or [],
    )


@npu.command("socs")
def npu_socs() -> None:
    """List the chips that contexts can be compiled for."""
    from upscaler.cli.npu import list_socs

    list_socs()


@cache.command("list")
def cache_list() -> None:
    """Show what is kept, whether it is whole, and when it was last used."""
    from upscaler.cli.cache import show

    show()


@cache.command("clear")
def cache_clear() -> None:
    """Remove all of it."""
    from upscaler.cli.cache import clear

    clear()
