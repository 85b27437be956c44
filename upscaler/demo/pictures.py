"""The demo's two pictures, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from upscaler.contract import Frame
from upscaler.timings import Timing

DETAIL = (690, 655, 240, 150)
"""Left, top, width and height of the magnified detail in the clip's 1920x1080 frame: the player,
whose outline and the lightning beside it show jagged edges, and the floor behind, texture."""
INK, PAPER, ACCENT = "#e8e8ea", "#16181d", "#ff8a3d"
STAGES = {
    "to the service": "#5b6ee1",
    "waiting": "#8a8f98",
    "upscaling": ACCENT,
    "back to the client": "#37b59a",
}


def draw_comparison(path: Path, results: Mapping[str, tuple[Frame, float]], native: Frame) -> None:
    """Draw each result (BGR, with its RGB PSNR in dB) and the native render beside it.

    Above the whole frame, below the detail, each pixel of it enlarged without a filter.
    """
    figures = _pyplot()
    left, top, width, height = DETAIL
    columns = [(title, frame, f"{psnr:.2f} dB") for title, (frame, psnr) in results.items()]
    columns.append(("native render", native, "the reference"))
    figure, axes = figures.subplots(
        2,
        len(columns),
        figsize=(19.2, 6.5),
        dpi=100,
        facecolor=PAPER,
        layout="constrained",
        height_ratios=(9, 10),
    )
    for (title, frame, caption), (whole, detail) in zip(columns, axes.T, strict=True):
        rgb = frame[:, :, 2::-1]
        whole.imshow(rgb, interpolation="antialiased")
        whole.set_title(title, color=INK, fontsize=18, pad=10)
        whole.add_patch(
            figures.Rectangle(
                (left, top), width, height, fill=False, edgecolor=ACCENT, linewidth=1.5
            )
        )
        cut = rgb[top : top + height, left : left + width]
        detail.imshow(cut, interpolation="nearest")
        detail.set_xlabel(caption, color=INK, fontsize=18, labelpad=10)
        for axis in (whole, detail):
            axis.set_xticks([])
            axis.set_yticks([])
    figure.savefig(path, facecolor=PAPER)
    figures.close(figure)


def draw_latency(path: Path, timings: Mapping[str, Sequence[Timing]], *, title: str) -> None:
    """Draw every round trip in order of time, and the median of each stage, for each method."""
    figures = _pyplot()
    figure, (trace, stages) = figures.subplots(
        1, 2, figsize=(16, 6), dpi=100, facecolor=PAPER, layout="constrained", width_ratios=(3, 2)
    )
    figure.suptitle(title, color=INK, fontsize=13)
    colours = ("#8a8f98", "#5b6ee1", ACCENT, "#37b59a")
    for (method, timed), colour in zip(timings.items(), colours, strict=False):
        total = [timing.total_ms for timing in timed]
        p50, p99 = np.percentile(total, (50, 99))
        label = f"{method}: p50 {p50:.1f}, p99 {p99:.1f} ms"
        trace.plot(np.linspace(0, 1, len(total)), total, color=colour, linewidth=1.2, label=label)
    trace.axhline(1000 / 60, color=INK, linewidth=0.8, linestyle=":")
    trace.text(0, 1000 / 60, " 60 fps", color=INK, va="bottom", fontsize=10)
    trace.set_ylim(0, 1.3 * max(timing.total_ms for timed in timings.values() for timing in timed))
    trace.set_xticks([0, 1], ["first frame", "last frame"])
    trace.set_ylabel("round trip, ms")
    trace.legend(facecolor=PAPER, edgecolor=PAPER, labelcolor=INK, loc="upper right")
    for row, timed in enumerate(timings.values()):
        start = 0.0
        for (stage, colour), median in zip(STAGES.items(), _stage_medians(timed), strict=True):
            shown = {"label": stage} if row == 0 else {}
            stages.barh(row, median, left=start, color=colour, height=0.6, **shown)
            start += median
        stages.text(start, row, f" {start:.1f} ms", color=INK, va="center", fontsize=11)
    stages.set_yticks(range(len(timings)), list(timings))
    stages.set_xlabel("median of each stage, ms")
    stages.margins(x=0.15)
    stages.legend(facecolor=PAPER, edgecolor=PAPER, labelcolor=INK, loc="lower right")
    for axis in (trace, stages):
        axis.set_facecolor(PAPER)
        axis.tick_params(colors=INK)
        axis.xaxis.label.set_color(INK)
        axis.yaxis.label.set_color(INK)
        for spine in axis.spines.values():
            spine.set_color("#3a3d45")
    figure.savefig(path, facecolor=PAPER)
    figures.close(figure)


def _stage_medians(timed: Sequence[Timing]) -> list[float]:
    stages = [
        (
            timing.received_ns - timing.submitted_ns,
            timing.started_ns - timing.received_ns,
            timing.finished_ns - timing.started_ns,
            timing.arrived_ns - timing.finished_ns,
        )
        for timing in timed
    ]
    medians: list[float] = (np.median(np.array(stages), axis=0) / 1e6).tolist()
    return medians


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")  # draws to files; there may be no display
    import matplotlib.pyplot as plt

    return plt
