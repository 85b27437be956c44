"""`upscaler top`: a live table of a service's clients."""

from __future__ import annotations

import time
from itertools import count

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from protocol.errors import ServiceError
from upscaler.cli.running import Interrupted
from upscaler.console import console
from upscaler.control import Control
from upscaler.service.report import ClientReport, ServiceReport
from upscaler.timings import STAGES, TOTAL

SHOWN = (*STAGES[:-1], TOTAL)
"""Stages that a service knows; when a result arrives, only its client does."""


def run(endpoint: str, *, interval_s: float, frames: int | None) -> None:
    """Show the service at `endpoint` every `interval_s`, `frames` times or until Ctrl-C.

    A service that goes away is waited for. Raises ServiceTimeoutError when none ever answered.
    """
    with Control(endpoint) as control:
        shown = as_screen(control.report())
    try:
        with Live(shown, console=console, auto_refresh=False) as live:
            for turn in count(1):
                if frames is not None and turn >= frames:
                    return
                time.sleep(interval_s)
                live.update(_screen(endpoint), refresh=True)
    except KeyboardInterrupt:
        msg = "stopped watching; the service goes on"
        raise Interrupted(msg) from None


def _screen(endpoint: str) -> Group:
    # A connection for each look: one that outlives a service would wait for it in vain.
    try:
        with Control(endpoint) as control:
            return as_screen(control.report(timeout_s=2.0))
    except ServiceError as error:
        return Group(Text(f"{error}", style="red"))


def as_screen(report: ServiceReport) -> Group:
    """Return the service's facts, a row for each client, and a row for each stage of each."""
    engine = report.engine
    runs = "filters only"
    if engine is not None:
        emulated = ", EMULATED" if engine.emulated else ""
        runs = f"{engine.name} {engine.version} on {engine.device}{emulated}"
    totals = report.totals.values()
    answered = {
        "upscaled": sum(each.upscaled for each in totals),
        "by a fallback": sum(each.fallbacks for each in totals),
        "dropped": sum(each.dropped for each in totals),
        "late": sum(each.missed for each in totals),
        "failed": sum(each.failed for each in totals),
    }
    up = _duration(report.uptime_s)
    lines = [
        f"upscaler {report.version} at {report.endpoint}, pid {report.pid}, up {up}",
        f"engine   {runs}",
        *(f"model    {model.name} ({model.weights_sha256[:12]})" for model in report.models),
        f"frames   {', '.join(f'{count} {what}' for what, count in answered.items())}",
    ]
    facts = [Text(line, overflow="ellipsis", no_wrap=True) for line in lines]
    if not report.clients:
        return Group(*facts, Text("\nno clients", style="dim"))
    return Group(*facts, Text(""), _clients(report.clients), Text(""), _stages(report.clients))


def _clients(clients: list[ClientReport]) -> Table:
    words = ("client", "method", "frames")
    shown = _table("client", "fps", "flying", "done", "drop", "late", "fail", words=words)
    shown.add_column("method", no_wrap=True)
    shown.add_column("frames", no_wrap=True)
    for client in clients:
        told = client.statistics
        by_fallback = f", {told.fallbacks} by {client.fallback}" if told.fallbacks else ""
        shown.add_row(
            _name(client),
            f"{told.fps:.1f}",
            f"{client.in_flight}/{client.credits}",
            *(f"{value}" for value in (told.frames, told.dropped, told.missed, told.failed)),
            client.method + (" (emulated)" if client.emulated else "") + by_fallback,
            f"{client.size} to {client.upscaled} {client.pixel_format}, {client.transport}, "
            f"{client.delivery}",
        )
    return shown


def _stages(clients: list[ClientReport]) -> Table:
    shown = _table("client", "stage", "p50", "p95", "p99 ms", words=("client", "stage"))
    for client in clients:
        told = client.statistics.stages
        for index, stage in enumerate(stage for stage in SHOWN if stage in told):
            spent = told[stage]
            figures = (f"{ms:.2f}" for ms in (spent.p50_ms, spent.p95_ms, spent.p99_ms))
            shown.add_row("" if index else _name(client), stage, *figures)
    return shown


def _name(client: ClientReport) -> str:
    # A client says what it likes: no markup, and nothing that moves a terminal's cursor.
    said = "".join(letter for letter in client.name if letter.isprintable())
    return escape(f"{said[:16]} {client.id[-6:]}")


def _table(*columns: str, words: tuple[str, ...]) -> Table:
    """A table without lines, whose figures are never cut: where it is narrow, words are."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        figures = column not in words
        shown.add_column(
            column,
            justify="right" if figures else "left",
            no_wrap=True,
            min_width=max(6, len(column)) if figures else None,
        )
    return shown


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
