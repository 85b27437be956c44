"""`upscaler doctor`: one screen that says whether this machine is fit, and what to do if not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.table import Table
from rich.text import Text

import upscaler
from upscaler.console import console
from upscaler.doctor.check import Check
from upscaler.doctor.examine import examine

EXIT_FAILED = 1
COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def run(*, as_json: bool) -> int:
    """Check this machine, print text or JSON, and return the exit code: 1 when a check failed."""
    if as_json:
        checks = examine()
        found = {"upscaler": upscaler.__version__, "ok": not _failed(checks), "checks": checks}
        print(msgspec.json.format(msgspec.json.encode(found)).decode())  # noqa: T201
    else:
        with console.status("checking"):
            checks = examine()
        console.print(as_table(checks))
    return EXIT_FAILED if _failed(checks) else 0


def as_table(checks: Sequence[Check]) -> Table:
    """Return one row for each check, and one below it with what to do unless all is well."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for check in checks:
        # Text: the brackets of a message or a path are no markup.
        status = Text(check.status, style=COLOURS[check.status])
        shown.add_row(check.name, status, Text(check.detail))
        if check.remedy:
            shown.add_row("", "", Text(f"-> {check.remedy}"))
    return shown


def _failed(checks: Sequence[Check]) -> bool:
    return any(check.status == "failed" for check in checks)
