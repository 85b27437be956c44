"""`upscaler-train prepare`."""

from __future__ import annotations

from typing import Annotated

import typer

from trainer.cli.options import Out, PairsFolder


def prepare(
    data: PairsFolder,
    out: Out,
    scale: Annotated[str, typer.Option(help="1.5, 2, 3 or 4.")] = "2",
) -> None:
    """Check pairs of frames and write them into one memory-mapped store."""
    from protocol.frames import parse_scale
    from trainer.data import load_pairs
    from trainer.store import StoreWriter

    ratio = parse_scale(scale)
    with StoreWriter(out, scale=ratio, degradation="native") as store:
        for split in ("train", "test"):
            for pair in load_pairs(data, split=split, scale=ratio):
                store.add(pair)
