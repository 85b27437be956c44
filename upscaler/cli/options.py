"""Options and readers of text that several commands share; as cheap to import as typer alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upscaler.engines.npu_options import NpuSettings

Engine = Annotated[
    str,
    typer.Option(
        help="auto, npu, openvino or onnxruntime. auto never picks an emulated NPU.",
        metavar="NAME",
    ),
]
InputSize = Annotated[str, typer.Option("--size", help="Size of the input.", metavar="WxH")]
Reuse = Annotated[
    bool,
    typer.Option(
        "--reuse-unchanged",
        help="Let networks compute only what changed since the frame before: the same results, for "
        "captured desktops and 2D games.",
    ),
]
NpuOption = Annotated[
    list[str] | None,
    typer.Option(
        "--npu",
        help="Options of the NPU, such as performance_mode=burst,vtcm_mb=4; see docs/npu.md. "
        "Repeatable.",
        metavar="NAME=VALUE",
    ),
]
Contexts = Annotated[
    Path | None,
    typer.Option(
        "--context",
        help="A folder of upscaler npu compile: load from there, and compile nothing.",
        metavar="DIR",
    ),
]
Cache = Annotated[
    bool,
    typer.Option("--cache/--no-cache", help="Keep what is compiled for the NPU on disk."),
]


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) from "960x540"; raises BadRequestError for anything else."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and len(text) <= 16):
        msg = f"{text[:32]!r} is no size; write it as WIDTHxHEIGHT, such as 960x540"
        raise BadRequestError(msg)
    return int(width), int(height)


def parse_sizes(text: str) -> list[tuple[int, int]]:
    """Return the sizes of a list with commas, each once: WxH, or a height in 16:9 as in "540p".

    Raises BadRequestError for anything else, and for a height without such a width.
    """
    return list(dict.fromkeys(_named_size(each.strip()) for each in text.split(",")))


def _named_size(text: str) -> tuple[int, int]:
    height = text.lower().removesuffix("p")
    if height == text.lower() or not height.isdecimal() or len(height) > 5:
        return parse_size(text)
    if int(height) % 9:
        msg = f"{text} has no whole width in 16:9; write the size as WIDTHxHEIGHT"
        raise BadRequestError(msg)
    return int(height) // 9 * 16, int(height)


def npu_settings(
    options: Sequence[str] | None, contexts: Path | None, *, cache: bool
) -> NpuSettings:
    """Return what the three options above say; raises BadRequestError for unknown options."""
    from upscaler.engines.context_cache import cache_folder
    from upscaler.engines.npu_options import NpuOptions, NpuSettings

    return NpuSettings(
        options=NpuOptions.parse(options or []),
        contexts=contexts,
        cache=cache_folder() if cache and contexts is None else None,
        asked=bool(options) or contexts is not None,
    )
