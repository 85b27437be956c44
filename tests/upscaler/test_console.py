from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from upscaler.console import progress, table


@pytest.mark.parametrize(("watched", "shown"), [(True, True), (False, False)])
def test_a_transient_bar_is_for_who_watches(*, watched: bool, shown: bool) -> None:
    said = StringIO()
    with progress(console=Console(file=said, force_terminal=watched)) as bar:
        task = bar.add_task("frames", total=2)
        bar.advance(task)
        bar.refresh()
        assert bar.tasks[task].completed == 1
    assert ("frames" in said.getvalue()) is shown
    assert bool(said.getvalue()) is shown


def test_numbers_are_aligned_to_the_right() -> None:
    said = StringIO()
    shown = table("scores", "method", "dB")
    shown.add_row("bicubic", "31.4")
    shown.add_row("fsr1", "9.2")
    Console(file=said, width=40).print(shown)
    rows = [line for line in said.getvalue().splitlines() if "bicubic" in line or "fsr1" in line]
    assert [row.rindex("31.4") + 4 for row in rows[:1]] == [
        row.rindex("9.2") + 3 for row in rows[1:]
    ]
