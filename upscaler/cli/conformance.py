"""`upscaler conformance`: a client through the protocol's cases, and a table of how it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from protocol.errors import BadRequestError
from protocol.messages import MAJOR, MINOR
from upscaler import __version__
from upscaler.conformance.case import Case, Ended, Status
from upscaler.conformance.link import Link, ProcessLink, SocketLink
from upscaler.conformance.run import chosen, run_cases
from upscaler.console import console, progress

EXIT_FAILED = 1
COLOURS = {Status.PASSED: "green", Status.FAILED: "bold red", Status.SKIPPED: "yellow"}


def run(
    command: str | None,
    connect: str | None,
    *,
    names: Sequence[str],
    engine: str,
    json_file: Path | None,
    verbose: bool,
) -> int:
    """Run the cases, print the table, and return the exit code: 1 when a case failed.

    Raises BadRequestError unless exactly one of `command` and `connect` is given.
    """
    if (command is None) == (connect is None):
        msg = "give either --command, a driver to start, or --connect, one that listens"
        raise BadRequestError(msg)
    cases = chosen(names)

    def show_line(line: str) -> None:
        console.print(Text(line, style="dim"))

    say = show_line if verbose else None
    link: Link = ProcessLink(command, say) if command is not None else SocketLink(str(connect), say)
    with progress() as bar:
        task = bar.add_task("cases", total=len(cases))

        def report(_: Ended) -> None:
            bar.advance(task)

        client, ended = run_cases(link, cases, engine=engine, report=report)
    console.print(as_table(client, ended))
    console.print(summary(ended))
    if json_file is not None:
        json_file.write_bytes(as_json(client, command or str(connect), ended))
    return EXIT_FAILED if any(each.status is Status.FAILED for each in ended) else 0


def show(names: Sequence[str]) -> None:
    """Print the names of cases and what they require; runs nothing."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for case in chosen(names):
        shown.add_row(case.name, _required(case))
    console.print(shown)


def as_table(client: str, ended: Sequence[Ended]) -> Table:
    """Return one row for each case, and one below it with what went wrong unless all is well."""
    shown = Table(title=Text(f"conformance of {client}"), title_justify="left")
    shown.add_column("case", no_wrap=True)
    shown.add_column("what is required", overflow="fold")
    shown.add_column("result", no_wrap=True)
    for each in ended:
        word = each.status.upper() if each.status is Status.FAILED else each.status
        # Text: the brackets of what came are no markup.
        shown.add_row(each.case.name, _required(each.case), Text(word, style=COLOURS[each.status]))
        if each.status is Status.FAILED:
            shown.add_row("", Text(f"expected {each.expected}; came {each.came}", style="red"))
        elif each.came:
            shown.add_row("", Text(each.came, style="yellow"))
    return shown


def summary(ended: Sequence[Ended]) -> str:
    """Say how many passed, failed and were skipped."""
    counts = Counter(each.status for each in ended)
    return ", ".join(f"{counts[status]} {status}" for status in Status)


def as_json(client: str, driver: str, ended: Sequence[Ended]) -> bytes:
    """Return the results as JSON, with the dialogue of every case that failed."""
    counts = Counter(each.status for each in ended)
    told = {
        "upscaler": __version__,
        "protocol": f"{MAJOR}.{MINOR}",
        "client": client,
        "driver": driver,
        **{str(status): counts[status] for status in Status},
        "cases": [
            {
                "name": each.case.name,
                "requires": each.case.requires,
                "section": each.case.section,
                "status": each.status,
                "seconds": each.seconds,
                "expected": each.expected,
                "came": each.came,
                "dialogue": each.dialogue,
            }
            for each in ended
        ],
    }
    return msgspec.json.format(msgspec.json.encode(told)) + b"\n"


def _required(case: Case) -> Text:
    return Text.assemble(case.requires, (f"  [{case.section}]", "dim"))
