"""`upscaler-train release`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from trainer.cli.options import Out, PairsFolder, prepare_torch

EXIT_REFUSED = 1


def release(
    model: Annotated[str, typer.Option(help="The quantised model, by file or name.")],
    data: PairsFolder,
    out: Out,
    original: Annotated[
        str | None,
        typer.Option(
            "--float", help="Its float original; by default beside it, with -float in its name."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="The held-out split.")] = "test",
) -> None:
    """Release a model, or refuse to and say why (exit code 1).

    It must beat FSR1 and bicubic on scenes that were not trained on, and lose at most 0.1 dB to
    quantisation. Both models and a card for people are written into the folder.
    """
    prepare_torch()
    from trainer.cli.evaluate import print_table
    from trainer.data import load_pairs
    from trainer.evaluate import evaluate, evaluate_filter
    from trainer.export import opened
    from trainer.release import RIVALS, Candidate, check_pair, objections
    from trainer.release import release as write_release
    from upscaler.models.library import find_model

    quantised = find_model(model)
    beside = str(quantised.path.with_name(f"{quantised.path.stem}-float.onnx"))
    floating = find_model(original or beside)
    check_pair(quantised, floating)
    scale = quantised.card.ratio
    pairs = load_pairs(data, split=split, scale=scale)
    with opened(quantised) as upscale:
        measured = evaluate(upscale, pairs)
    with opened(floating) as upscale:
        original_measured = evaluate(upscale, pairs)
    candidate = Candidate(
        quantised=quantised,
        original=floating,
        measured=measured,
        original_measured=original_measured,
        rivals={rival: evaluate_filter(rival, pairs, scale) for rival in RIVALS},
    )
    print_table({**candidate.rivals, "float": original_measured, "int8": measured})
    if found := objections(candidate):
        for each in found:
            sys.stderr.write(f"upscaler-train: refused: {each}\n")
        raise typer.Exit(EXIT_REFUSED)
    for path in write_release(candidate, out):
        typer.echo(f"wrote {path}")
