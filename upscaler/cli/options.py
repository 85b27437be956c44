"""Options that several commands share. Imports typer and nothing heavier, as `cli.main` does."""

from __future__ import annotations

from typing import Annotated

import typer

from protocol.errors import BadRequestError

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


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) from "960x540"; raises BadRequestError for anything else."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and len(text) <= 16):
        msg = f"{text[:32]!r} is no size; write it as WIDTHxHEIGHT, such as 960x540"
        raise BadRequestError(msg)
    return int(width), int(height)
