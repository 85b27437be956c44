"""The report of a run: one HTML page with its tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from upscaler.bench.latency.page import (
    Markup,
    bullets,
    facts,
    joined,
    picture,
    section,
    tag,
    write_page,
)
from upscaler.bench.latency.plan import PAPER_MS
from upscaler.bench.latency.results import Measured, Run, Settings

COLUMNS = (
    "p50 ms",
    "95 % interval",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "max",
    "mean",
    "std",
    "average fps",
    "1% low average",
    "1% low integral",
    "> 16.67 ms",
    "> 8.33 ms",
)
PERCENTILES = {"p90": "p90_ms", "p95": "p95_ms", "p99": "p99_ms", "p99.9": "p999_ms"}
MODES = {
    "closed": "closed loop: the next frame when the last has come back",
    "open": "open loop at {fps:g} fps, measured from the time a frame was meant for",
    "device": "the engine alone, without a service",
}
DEFINITIONS = (
    (
        "Latency runs from submission, or from the time a frame was meant for, until its pixels "
        "are with the client. Pixels are written into the frame's slot before, as a game renders "
        "there."
    ),
    "Percentiles interpolate linearly. Average fps is 1000 / mean latency in ms.",
    (
        "1% low average: 1000 / the mean of the frames at or above p99. 1% low integral: 1000 / "
        "the frame time that is reached when the slowest frames are added up to 1 % of the whole "
        "time."
    ),
    (
        "The 95 % interval of the median is Student's t of the logarithms of the rounds' medians; "
        "with fewer than three rounds, of consecutive pieces of them."
    ),
)
PAPER = "QuickSRNet-Small 2x, Snapdragon 8 Gen 1 (the paper, network alone)"


def write_report(path: Path, run: Run, pictures: Mapping[str, str]) -> None:
    """Write the page; `pictures` are file names beside it, by what `figures.draw_run` shows.

    Raises OSError.
    """
    titles = {"growth": "Growth with pixels"}
    shown = [
        joined(
            [
                tag("h3", titles.get(what, what)),
                picture(path.parent / name, f"{titles.get(what, what)}: see the table for figures"),
            ]
        )
        for what, name in pictures.items()
    ]
    write_page(
        path,
        f"Latency, {run.made}",
        _head(run),
        section("Warnings", bullets(_warnings(run), css="warning"), _single_warnings(run)),
        section("Budgets", _budgets(run)),
        section("Latency by resolution", _table(run), _table_note(run)),
        section("Pictures", *shown),
        section("Left out", bullets([f"{each.key}: {each.reason}" for each in run.left_out])),
        section("How it was measured", bullets([*DEFINITIONS, *run.rules])),
    )


def describe_mode(settings: Settings) -> str:
    """Return in words how frames were sent."""
    return MODES[settings.mode].format(fps=settings.fps or 0)


def _head(run: Run) -> Markup:
    settings, machine = run.settings, run.machine
    count = sum(each.summary.count for each in run.combinations if each.summary is not None)
    finding = f"{len(run.combinations)} combinations, {count} frames in {run.took_s:.0f} s"
    badges = [tag("span", run.status, css="badge")] if run.status != "complete" else []
    if run.emulated:
        badges.append(tag("span", "EMULATED NPU: times mean nothing", css="badge"))
    load = "" if machine.load_start is None else f"{machine.load_start[0]:.2f}"
    if load and machine.load_end is not None:
        load += f" before, {machine.load_end[0]:.2f} after"
    if machine.stolen:
        load += f"; {machine.stolen:.1%} of the time stolen by the host"
    engines = dict.fromkeys(
        f"{each.engine} on {each.device}{' (emulated)' if each.emulated else ''}"
        for each in run.combinations
        if each.engine
    )
    known = {
        "Machine": f"{machine.cpu}, {machine.cores} cores",
        "System": machine.system,
        "Governor": machine.governor or "unknown",
        "Load": load,
        "Engines": "; ".join(engines),
        "Frames": describe_mode(settings),
        "Transport": settings.transport or "",
        "Delivery": _delivery(settings),
        "Pixels": f"{settings.pixel_format}, source {settings.source}",
        "Frames each": f"{settings.frames} in {settings.rounds} rounds, or a share of "
        f"{settings.seconds:g} s",
        "Models": "; ".join(f"{one.name} {one.weights_sha256[:12]}" for one in run.models),
        "Upscaler": f"{run.upscaler}{f', commit {run.git_revision}' if run.git_revision else ''}",
        "Versions": ", ".join(f"{name} {at}" for name, at in run.versions.items()),
        "Made": run.made,
    }
    return tag(
        "header",
        tag("p", "upscaler bench latency", css="eyebrow"),
        tag("h1", "Latency", *badges),
        tag("p", finding, css="finding"),
        facts(known),
    )


def _delivery(settings: Settings) -> str:
    if settings.delivery is None:
        return ""
    words = {"every": "no frame is dropped", "latest": "a newer frame replaces one that waits"}
    return f"{settings.delivery}: {words[settings.delivery]}; {settings.credits} in flight at most"


def _warnings(run: Run) -> list[str]:
    return [*([run.error] if run.error else []), *run.warnings]


def _single_warnings(run: Run) -> Markup:
    """Those of combinations, folded away: there are many on a machine that is not idle."""
    found: list[str] = []
    for each in run.combinations:
        found += [f"{each.key}: {warning}" for warning in each.warnings]
        if each.inline_reason:
            found.append(f"{each.key}: pixels travelled inline: {each.inline_reason}")
        if each.error:
            found.append(f"{each.key}: {each.status}: {each.error}")
    if not found:
        return Markup("")
    return tag("details", tag("summary", f"{len(found)} of single combinations"), bullets(found))


def _budgets(run: Run) -> Markup:
    lines = [
        tag(
            "li",
            tag("span", "kept " if each.kept else "MISSED ", css="good" if each.kept else "bad"),
            each.line,
        )
        for each in run.budgets
    ]
    return tag("ul", *lines, css="plain") if lines else Markup("")


def _table(run: Run) -> Markup:
    limits = list(
        dict.fromkeys(
            limit
            for each in run.combinations
            if each.summary is not None
            for limit in each.summary.past_budget
        )
    )
    columns = [*COLUMNS, *(f"> {limit} ms (budget)" for limit in limits)]
    head = ["method", "scale", "input", "engine", "frames", *columns]
    rows = []
    for target, group in groupby(run.combinations, key=lambda each: each.target):
        combinations = list(group)
        output = f"{combinations[0].output_width}x{combinations[0].output_height}"
        title = tag("th", f"{target} ", tag("small", output), colspan=str(len(head)))
        rows.append(tag("tr", title, css="target"))
        rows += [_row(each, limits) for each in combinations]
        if target in PAPER_MS:
            rows.append(_paper_row(target, len(head)))
    body = tag("tbody", *rows)
    heads = tag("thead", tag("tr", *(tag("th", each) for each in head)))
    return tag("div", tag("table", heads, body), css="scroll")


def _paper_row(target: str, columns: int) -> Markup:
    cells = [tag("th", PAPER, colspan="5"), tag("td", f"{PAPER_MS[target]:.2f}")]
    return tag("tr", *cells, tag("td", colspan=str(columns - 6)), css="paper")


def _row(each: Measured, limits: list[str]) -> Markup:
    badges = []
    if each.status != "complete":
        badges.append(tag("span", each.status, css="badge"))
    if each.emulated:
        badges.append(tag("span", "emulated", css="badge"))
    if each.warnings:
        badges.append(tag("span", "!", css="badge", title="; ".join(each.warnings)))
    cells = [
        tag("th", each.method, *badges),
        tag("td", each.scale),
        tag("td", f"{each.input_width}x{each.input_height}"),
        tag("td", each.engine),
    ]
    summary = each.summary
    if summary is None:
        missing = tag("td", "no frame came back", colspan=str(len(COLUMNS) + 1 + len(limits)))
        return tag("tr", *cells, missing)
    cells.append(tag("td", str(summary.count)))
    cells.append(tag("td", f"{summary.p50_ms:.2f}", css="strong"))
    cells.append(tag("td", f"{summary.p50_low_ms:.2f} - {summary.p50_high_ms:.2f}"))
    cells += [
        tag(
            "td",
            f"{getattr(summary, where):.2f}",
            css="few" if name in each.unresolved else "",
        )
        for name, where in PERCENTILES.items()
    ]
    figures = (summary.max_ms, summary.mean_ms, summary.std_ms)
    cells += [tag("td", f"{value:.2f}") for value in figures]
    rates = (summary.average_fps, summary.low_average_fps, summary.low_integral_fps)
    cells += [tag("td", f"{value:.1f}") for value in rates]
    shares = [summary.past_16_67, summary.past_8_33]
    cells += [tag("td", f"{share:.1%}") for share in shares]
    past = [summary.past_budget.get(limit) for limit in limits]
    cells += [tag("td", "" if share is None else f"{share:.1%}") for share in past]
    return tag("tr", *cells)


def _table_note(run: Run) -> Markup:
    spent = [each.harness.p50_ms for each in run.combinations if each.harness is not None]
    words = "~ stands before a percentile that too few frames are there for. "
    if spent:
        words += (
            f"Between two frames the harness itself spent at most {max(spent):.3f} ms at p50, "
            "outside of what is measured."
        )
    return tag("p", words, css="note")
