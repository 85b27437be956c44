from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

TINY = ["--budget", "1e-4", "--precision", "float32", "--threads", "1"]


def test_a_table_from_one_command(train_here: Callable, store_x15: Path, tmp_path: Path) -> None:
    command = ["reproduce", "table5", "--data", store_x15, "--out", "out", *TINY]
    done = train_here(*command)
    assert done.returncode == 0, done.stderr
    for suffix in ("md", "csv", "png"):
        assert (tmp_path / "out" / f"table5.{suffix}").stat().st_size > 100
    text = (tmp_path / "out" / "table5.md").read_text()
    assert "Recipe fast at 0.010% of its length: 3 iterations a network" in text
    assert "naive head" in text
    taken = train_here(*command, "--checkpoint", "pooled=out/runs/pooled/checkpoint.pt")
    assert taken.returncode == 0, taken.stderr
    assert (
        "Taken, not trained here: pooled, recipe fast, 3 iterations"
        in (tmp_path / "out" / "table5.md").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["table1"], "unknown table 'table1'; choose one of table2"),
        (["table7"], "table7 is about 2x"),
        (["table5", "--checkpoint", "medium=x.pt"], "has no network 'medium'; it has pooled"),
        (["table5", "--checkpoint", "x.pt"], "--checkpoint takes NAME=FILE"),
        (["table5", "--checkpoint", "pooled=x.pt"], "cannot read the checkpoint x.pt"),
        (["table5", "--set", "nowhere"], "cannot read nowhere/manifest.json"),
    ],
)
def test_errors_are_one_line(
    assert_refused: Callable, store_x15: Path, *, arguments: list[str], part: str
) -> None:
    assert_refused(["reproduce", *arguments, "--data", store_x15, "--out", "out", *TINY], part)
