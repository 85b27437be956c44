"""The pictures of a run, drawn with matplotlib: growth with pixels, and one for each target.

Colours belong to methods and line styles to scales, in all of them. Times are on a logarithmic axis
where methods are far apart, and say so by their ticks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from upscaler.bench.latency.collect import LATE
from upscaler.bench.latency.growth import fit_growth
from upscaler.bench.latency.plan import PAPER_MS, parse_targets
from upscaler.bench.latency.results import Measured, Run
from upscaler.timings import STAGES

PAPER, INK, MUTED, LINE = "#ffffff", "#1b1d22", "#656a74", "#e3e3df"
COLOURS = ("#0f857a", "#c2570c", "#8b45b0", "#1a7fb8", "#c22f55", "#7f6c00", "#6d737e", "#8a5a3c")
STYLES = ("-", "--", ":", "-.")
STAGE_COLOURS = {
    LATE: "#c22f55",
    "sent": "#8fa1e8",
    "waited": "#b9bdc6",
    "upscaled": "#c2570c",
    "returned": "#a9d8cf",
    "arrived": "#43a897",
}
STAGE_WORDS = {
    LATE: "late",
    "sent": "sent",
    "waited": "waited",
    "upscaled": "upscaled",
    "returned": "returned",
    "arrived": "arrived",
}
FPS_LINES = {1000 / 60: "60 fps", 1000 / 120: "120 fps"}
FAR_APART = 6.0
"""Medians whose largest is so many times the smallest share a logarithmic axis."""
BINS = 60
DPI = 140
PAPER_LABEL = "paper: Small 2x, Snapdragon 8 Gen 1"


class Palette:
    """Which colour a method has, and which line a scale."""

    def __init__(self, combinations: Sequence[Measured]) -> None:
        methods = dict.fromkeys(each.method for each in combinations)
        scales = dict.fromkeys(each.scale for each in combinations)
        self._colours = {each: COLOURS[at % len(COLOURS)] for at, each in enumerate(methods)}
        self._styles = {each: STYLES[at % len(STYLES)] for at, each in enumerate(scales)}

    def line(self, measured: Measured) -> dict[str, Any]:
        """Keywords of a line."""
        return {
            "color": self._colours[measured.method],
            "linestyle": self._styles[measured.scale],
            "linewidth": 1.4,
        }


def label(measured: Measured) -> str:
    """Return a combination's name within its target."""
    emulated = ", emulated" if measured.emulated else ""
    return f"{measured.method} {measured.scale}{emulated}"


def with_frames(run: Run) -> list[Measured]:
    """Return the combinations of which frames came back."""
    return [each for each in run.combinations if each.summary is not None]


def draw_run(folder: Path, run: Run) -> dict[str, str]:
    """Draw everything and return file names by what they show: "growth", then targets."""
    drawn: dict[str, str] = {}
    shown = with_frames(run)
    if not shown:
        return drawn
    palette = Palette(shown)
    if len({each.target for each in shown}) > 1:
        draw_growth(folder / "growth.png", shown, palette)
        drawn["growth"] = "growth.png"
    for target, group in groupby(shown, key=lambda each: each.target):
        name = f"frames_{target}.png"
        draw_target(folder / name, list(group), palette)
        drawn[target] = name
    return drawn


def draw_growth(path: Path, combinations: Sequence[Measured], palette: Palette) -> None:
    """Draw medians over pixels of the result, the curve of each, and the paper's."""
    figures = pyplot()
    figure, axis = figures.subplots(
        figsize=(10.5, 5.4), dpi=DPI, facecolor=PAPER, layout="constrained"
    )
    series: dict[tuple[str, str], list[Measured]] = {}
    for each in combinations:
        series.setdefault((each.method, each.scale), []).append(each)
    for group in series.values():
        points = [(each.output_width * each.output_height, _p50(each)) for each in group]
        _draw_series(axis, points, label(group[0]), palette.line(group[0]))
    sizes = [size.pixels for _, size in parse_targets(list(PAPER_MS))]
    paper = list(zip(sizes, PAPER_MS.values(), strict=True))
    _draw_series(axis, paper, PAPER_LABEL, {"color": MUTED, "linestyle": (0, (1, 2))})
    axis.set_xscale("log")
    axis.set_yscale("log")
    known = {each.output_width * each.output_height: each.target for each in combinations}
    axis.set_xticks(list(known), [f"{name}\n{at / 1e6:.2f} MP" for at, name in known.items()])
    axis.minorticks_off()
    plain_ticks(axis.yaxis)
    axis.set_ylabel("median latency, ms")
    axis.set_xlabel("pixels of the result")
    legend(axis, loc="center left", bbox_to_anchor=(1.01, 0.5))
    finish(axis, "How time grows with pixels")
    figure.savefig(path, facecolor=PAPER)
    figures.close(figure)


def _draw_series(
    axis: Any, points: Sequence[tuple[float, float]], name: str, line: Mapping[str, Any]
) -> None:
    pixels, times = zip(*sorted(points), strict=True)
    fit = fit_growth(pixels, times)
    if fit is None:
        axis.plot(pixels, times, marker="o", markersize=4, label=name, **line)
        return
    axis.plot(pixels, times, "o", markersize=4.5, color=line["color"])
    along = np.geomspace(min(pixels), max(pixels), 50)
    described = f"{name}: pixels$^{{{fit.exponent:.2f}}}$, R² {fit.r_squared:.3f}"
    axis.plot(along, [fit.ms_at(at) for at in along], label=described, **line)


def draw_target(path: Path, combinations: Sequence[Measured], palette: Palette) -> None:
    """Draw the frames of one target: trace, histogram, distribution, and median of each stage."""
    figures = pyplot()
    rows = len(combinations)
    figure, axes = figures.subplots(
        *(2, 2),
        figsize=(15, 7.6 + 0.22 * max(0, rows - 4)),
        dpi=DPI,
        facecolor=PAPER,
        layout="constrained",
        height_ratios=(1, 1),
    )
    (trace, histogram), (ecdf, stages) = axes
    medians = [_p50(each) for each in combinations]
    logarithmic = max(medians) > FAR_APART * max(min(medians), 1e-6)
    everything = np.concatenate([each.times.total_ms for each in combinations])
    edges = _edges(everything, logarithmic=logarithmic)
    named = []
    for each in combinations:
        line, total = palette.line(each), np.asarray(each.times.total_ms)
        trace.plot(range(1, len(total) + 1), total, **(line | {"linewidth": 0.9}))
        histogram.stairs(np.histogram(total, edges)[0] / len(total), edges, **line)
        ecdf.step(np.sort(total), np.arange(1, len(total) + 1) / len(total), **line)
        named.append(trace.plot([], [], label=label(each), **line)[0])
    for axis, values in ((trace, trace.yaxis), (histogram, histogram.xaxis), (ecdf, ecdf.xaxis)):
        if logarithmic:
            axis.set(**{f"{values.axis_name}scale": "log"})
            plain_ticks(values)
        low, high = values.get_view_interval()
        for at, words in FPS_LINES.items():
            if low < at < high:
                _mark(axis, values.axis_name, at, words)
    _draw_stages(stages, combinations)
    trace.set(xlabel="frame", ylabel="latency, ms")
    histogram.set(xlabel="latency, ms", ylabel="share of frames")
    ecdf.set(xlabel="latency, ms", ylabel="share of frames at most as long", ylim=(0, 1.02))
    legend(figure, handles=named, loc="outside upper center", ncols=6)
    first = f"{combinations[0].target}: frame times"
    titles = (first, "Histogram", "Distribution (ECDF)", "Median of each stage")
    for axis, title in zip((trace, histogram, ecdf, stages), titles, strict=True):
        finish(axis, title)
    figure.savefig(path, facecolor=PAPER)
    figures.close(figure)


def _draw_stages(axis: Any, combinations: Sequence[Measured]) -> None:
    """Stack the median of each stage; their sum is near the median of the whole, not it."""
    names: dict[str, None] = {}
    longest = 1e-3
    for row, each in enumerate(combinations):
        start = 0.0
        for stage in (LATE, *STAGES):
            if stage not in each.stages:
                continue
            spent = each.stages[stage].p50_ms
            shown = {} if stage in names else {"label": STAGE_WORDS[stage]}
            names[stage] = None
            axis.barh(row, spent, left=start, height=0.62, color=STAGE_COLOURS[stage], **shown)
            start += spent
        longest = max(longest, start)
        words = f" {start:.2f} ms"
        if len(each.stages) > 2:  # more than the upscaler, and the whole
            words += f", {start - each.stages['upscaled'].p50_ms:.2f} beside upscaling"
        axis.text(start, row, words, va="center", fontsize=9, color=INK)
    axis.set_yticks(range(len(combinations)), [label(each) for each in combinations])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.7 * longest)  # room for the words
    axis.set_xlabel("ms")
    legend(axis, loc="lower right")


def _edges(times: np.ndarray, *, logarithmic: bool) -> np.ndarray:
    low, high = float(times.min()), float(times.max())
    if low <= 0 or high <= low:
        return np.linspace(low, low + max(high - low, 1e-3), BINS + 1)
    return np.geomspace(low, high, BINS + 1) if logarithmic else np.linspace(low, high, BINS + 1)


def _mark(axis: Any, along: str, at: float, words: str) -> None:
    if along == "y":
        axis.axhline(at, color=MUTED, linewidth=0.8, linestyle=":")
        axis.annotate(
            words,
            *((1, at),),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8,
            color=MUTED,
        )
    else:
        axis.axvline(at, color=MUTED, linewidth=0.8, linestyle=":")
        axis.annotate(
            f" {words}",
            *((at, 1),),
            xycoords=("data", "axes fraction"),
            ha="left",
            va="top",
            fontsize=8,
            color=MUTED,
        )


def _p50(measured: Measured) -> float:
    assert measured.summary is not None
    return max(measured.summary.p50_ms, 1e-3)


def plain_ticks(axis: Any) -> None:
    """Mark a logarithmic axis at 1, 2 and 5, in plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(axis: Any, **where: Any) -> None:
    """Add a legend to an axis or a figure, without a frame."""
    axis.legend(fontsize=8.5, frameon=False, labelcolor=INK, **where)


def finish(axis: Any, title: str) -> None:
    """Give an axis its title and the look of all of them."""
    axis.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axis.set_facecolor(PAPER)
    axis.grid(visible=True, color=LINE, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(colors=MUTED, labelsize=9, labelcolor=INK)
    for part in (axis.xaxis, axis.yaxis):
        part.label.set_color(MUTED)
        part.label.set_fontsize(9.5)
    for side, spine in axis.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color("#b9bdc6")


def pyplot() -> Any:
    """Return matplotlib's pyplot, drawing to files: there may be no display."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt
