"""A folder of runs over time: a picture of medians and 99th percentiles, and a page around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protocol.errors import BadRequestError, ErrorCode
from upscaler.bench.latency.figures import (
    DPI,
    PAPER,
    Palette,
    finish,
    label,
    legend,
    plain_ticks,
    pyplot,
    with_frames,
)
from upscaler.bench.latency.page import Markup, bullets, picture, section, tag, write_page
from upscaler.bench.latency.results import Measured, Run, read_run

PICTURE, PAGE = "history.png", "history.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Runs from the oldest to the newest, and why other files are not among them."""

    runs: tuple[Run, ...]
    left_out: tuple[str, ...]

    @property
    def targets(self) -> dict[str, dict[str, list[tuple[int, Measured]]]]:
        """By target, then key: combinations with the number of their run, from 0 on."""
        found: dict[str, dict[str, list[tuple[int, Measured]]]] = {}
        for number, run in enumerate(self.runs):
            for each in with_frames(run):
                by_key = found.setdefault(each.target, {})
                by_key.setdefault(each.key, []).append((number, each))
        return dict(sorted(found.items(), key=lambda item: _pixels(item[1])))


def _pixels(by_key: dict[str, list[tuple[int, Measured]]]) -> int:
    first = next(iter(by_key.values()))[0][1]
    return first.output_width * first.output_height


def read_history(folder: Path) -> History:
    """Read every .json file in a folder and in those below it.

    Raises BadRequestError when there is no folder, or no run in it.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder"
        raise BadRequestError(msg, code=ErrorCode.UNREADABLE_FILE)
    runs, left_out = [], []
    for path in sorted(folder.rglob("*.json")):
        try:
            runs.append(read_run(path))
        except BadRequestError as error:
            left_out.append(str(error))
    if not runs:
        why = f" ({left_out[0]})" if left_out else "; `upscaler bench latency` writes them"
        msg = f"{folder} holds no run that can be read{why}"
        raise BadRequestError(msg, code=ErrorCode.UNREADABLE_FILE)
    runs.sort(key=lambda run: run.made)
    return History(runs=tuple(runs), left_out=tuple(left_out))


def write_history(folder: Path, history: History) -> Path:
    """Write history.png and history.html into `folder` and return the page; raises OSError."""
    if not history.targets:
        msg = "no run holds a frame; there is nothing to plot"
        raise BadRequestError(msg, code=ErrorCode.UNREADABLE_FILE)
    draw_history(folder / PICTURE, history)
    machines = list(
        dict.fromkeys(f"{run.machine.cpu}, {run.machine.cores} cores" for run in history.runs)
    )
    warnings = [*history.left_out]
    if len(machines) > 1:
        warnings.insert(0, f"runs of {len(machines)} machines: {'; '.join(machines)}")
    if any(run.emulated for run in history.runs):
        warnings.insert(0, "some ran on an emulated NPU, whose times mean nothing")
    write_page(
        folder / PAGE,
        "Latency over runs",
        tag(
            "header",
            tag("p", "upscaler bench history", css="eyebrow"),
            tag("h1", f"Latency over {len(history.runs)} runs"),
            tag("p", "; ".join(machines), css="finding"),
        ),
        section("Warnings", bullets(warnings, css="warning")),
        section(
            "Over time",
            picture(folder / PICTURE, "medians over runs: see the table"),
            tag("p", "Lines: medians. Shades: up to the 99th percentile.", css="note"),
        ),
        section("Runs", _table(history)),
    )
    return folder / PAGE


def draw_history(path: Path, history: History) -> None:
    """Draw a panel for each target: medians as lines, up to the 99th percentile as shades."""
    figures = pyplot()
    targets = history.targets
    everything = [
        each for by_key in targets.values() for points in by_key.values() for _, each in points
    ]
    palette = Palette(everything)
    columns = min(2, len(targets))
    rows = -(-len(targets) // columns)
    figure, axes = figures.subplots(
        rows,
        columns,
        figsize=(7.6 * columns, 3.6 * rows),
        dpi=DPI,
        facecolor=PAPER,
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat[len(targets) :]:
        axis.set_visible(False)
    names = [_short(run) for run in history.runs]
    for axis, (target, by_key) in zip(axes.flat, targets.items(), strict=False):
        for points in by_key.values():
            _draw_line(axis, points, palette)
        axis.set_yscale("log")
        plain_ticks(axis.yaxis)
        step = max(1, len(names) // 8)
        axis.set_xticks(range(0, len(names), step), names[::step])
        axis.set_xlim(-0.3, len(names) - 0.7)
        axis.set_ylabel("latency, ms")
        legend(axis, loc="center left", bbox_to_anchor=(1.0, 0.5))
        finish(axis, target)
    figure.savefig(path, facecolor=PAPER)
    figures.close(figure)


def _draw_line(axis: object, points: Sequence[tuple[int, Measured]], palette: Palette) -> None:
    numbers = [number for number, _ in points]
    summaries = [each.summary for _, each in points if each.summary is not None]
    medians = np.array([one.p50_ms for one in summaries])
    tails = np.array([one.p99_ms for one in summaries])
    line = palette.line(points[-1][1])
    axis.plot(numbers, medians, marker="o", markersize=3.5, label=label(points[-1][1]), **line)  # type: ignore[attr-defined]
    axis.fill_between(numbers, medians, tails, color=line["color"], alpha=0.12, linewidth=0)  # type: ignore[attr-defined]


def _short(run: Run) -> str:
    return f"{run.made[5:10]}\n{run.made[11:16]}\n{run.git_revision or run.upscaler}"


def _table(history: History) -> Markup:
    keys = [key for by_key in history.targets.values() for key in by_key]
    head = tag(
        "thead",
        tag("tr", *(tag("th", each) for each in ("p50 ms", *map(_run_title, history.runs)))),
    )
    rows = []
    for key in keys:
        cells = [tag("th", key)]
        for run in history.runs:
            found = next((each for each in with_frames(run) if each.key == key), None)
            summary = None if found is None else found.summary
            cells.append(tag("td", "" if summary is None else f"{summary.p50_ms:.2f}"))
        rows.append(tag("tr", *cells))
    return tag("div", tag("table", head, tag("tbody", *rows)), css="scroll")


def _run_title(run: Run) -> str:
    state = "" if run.status == "complete" else f" ({run.status})"
    return f"{run.made[:16].replace('T', ' ')} {run.git_revision or run.upscaler}{state}"
