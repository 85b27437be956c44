"""What long commands show in the terminal."""

from __future__ import annotations

import os

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

WIDE = 200
"""Columns of what goes into a file or a pipe, where nothing says how wide it may be."""


def _width() -> int | None:
    """Let the terminal decide where there is one, or COLUMNS; 80 columns would cut tables off."""
    watched = Console().is_terminal or "COLUMNS" in os.environ
    return None if watched else WIDE


console = Console(highlight=False, width=_width())


def progress(*, console: Console = console, transient: bool = True) -> Progress:
    """Return a progress bar with count, elapsed and remaining time.

    A transient bar leaves no trace, and where nobody watches, in a pipe or a file, shows nothing.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=transient and not console.is_terminal,
    )


def table(title: str, *columns: str) -> Table:
    """Return a table whose first column is text and whose others are numbers."""
    made = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", no_wrap=index == 0)
    return made
