"""`upscaler bench diff` and `upscaler bench history`: what is made of finished runs."""

from __future__ import annotations

import sys
from pathlib import Path

from upscaler.bench.latency.diff import compare_runs
from upscaler.bench.latency.files import prepare
from upscaler.bench.latency.history import PICTURE, read_history, write_history
from upscaler.bench.latency.results import read_run
from upscaler.console import console, table


def diff(before: Path, after: Path, *, tolerance: float) -> bool:
    """Print how run `after` compares with run `before`, and return whether any got slower.

    Raises BadRequestError for files that are no runs, and for runs with nothing in common.
    """
    found = compare_runs(read_run(before), read_run(after), tolerance=tolerance)
    shown = table(
        f"A: {before}, B: {after}; a median within {tolerance:.0%} is no difference",
        *("combination", "A p50 ms", "B p50 ms", "B / A", "95 % interval", "verdict", ""),
    )
    for each in found.differences:
        shown.add_row(
            each.key,
            f"{each.before_ms:.3f}",
            f"{each.after_ms:.3f}",
            f"{each.ratio:.3f}",
            f"{each.low:.3f} - {each.high:.3f}",
            each.verdict,
            "; ".join(each.notes),
        )
    console.print(shown)
    alone = {"A": found.only_before, "B": found.only_after}
    for name, keys in alone.items():
        for key in keys:
            _say(f"{key} is in {name} alone")
    for warning in found.warnings:
        _say(f"warning: {warning}")
    for each in found.slower:
        _say(f"slower {each.key}: {each.before_ms:.3f} to {each.after_ms:.3f} ms")
    return bool(found.slower)


def history(folder: Path, out: Path) -> None:
    """Plot the runs in `folder` into `out`; raises BadRequestError where there are none."""
    found = read_history(folder)
    prepare(out)
    page = write_history(out, found)
    for left in found.left_out:
        _say(f"left out: {left}")
    console.print(f"{len(found.runs)} runs", soft_wrap=True)
    console.print(f"{page}", soft_wrap=True)
    console.print(f"{out / PICTURE}", soft_wrap=True)


def _say(line: str) -> None:
    print(f"upscaler: {line}", file=sys.stderr)  # noqa: T201
