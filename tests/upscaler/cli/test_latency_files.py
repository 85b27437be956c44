"""`upscaler bench diff` and `history` on runs that are written here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from msgspec.structs import replace

from upscaler.bench.latency.measure import run_plan
from upscaler.bench.latency.options import Options
from upscaler.bench.latency.plan import make_plan
from upscaler.bench.latency.results import Run, write_run
from upscaler.bench.latency.source import synthetic_source

Bench = Callable[..., CompletedProcess[str]]


@pytest.fixture
def bench(run_here: Bench) -> Bench:
    """Run a command of `upscaler bench` in this process."""
    return partial(run_here, "bench")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with medians of 10 ms (a.json), twice as much (b.json), and half (c.json)."""
    folder = tmp_path_factory.mktemp("runs")
    options = Options(frames=120, device_only=True)
    plan = make_plan(["128x72"], ["2"], ["nearest"], options.catalogue())
    measured = run_plan(plan, options, synthetic_source())
    for name, factor, day in (("a", 1, 1), ("b", 2, 2), ("c", 0.5, 3)):
        write_run(folder / f"{name}.json", _slower(measured, factor, day))
    return folder


def _slower(measured: Run, factor: float, day: int) -> Run:
    (one,) = measured.combinations
    steady_ms = 10 + 0.1 * np.sin(np.arange(len(one.times.total_ms)))
    times = replace(one.times, total_ms=(factor * steady_ms).tolist())
    return replace(
        measured, combinations=[replace(one, times=times)], made=f"2026-03-0{day}T10:00:00+00:00"
    )


@pytest.mark.parametrize(
    ("names", "verdict", "code"),
    [("ab", "slower", 1), ("ba", "faster", 0), ("aa", "no difference", 0), ("ac", "faster", 0)],
)
def test_two_runs(bench: Bench, runs: Path, names: str, verdict: str, code: int) -> None:
    done = bench("diff", runs / f"{names[0]}.json", runs / f"{names[1]}.json")
    assert done.returncode == code, done.stderr
    assert verdict in done.stdout
    assert ("upscaler: slower 72p/2x/nearest: " in done.stderr) == (code == 1)


def test_a_wide_tolerance(bench: Bench, runs: Path) -> None:
    done = bench("diff", runs / "c.json", runs / "a.json", "--tolerance", "0.5")
    assert done.returncode == 1  # twice is more than half as much again
    assert bench("diff", runs / "a.json", runs / "c.json", "--tolerance", "0.9").returncode == 0


def test_files_that_cannot_be_compared(bench: Bench, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"format": "upscaler latency run", "version": 0}')
    for file, words in (
        ("old.json", "of version 0, older than 1"),
        ("gone.json", "No such file"),
    ):
        done = bench("diff", runs / "a.json", tmp_path / file)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert words in line


def test_a_history(bench: Bench, runs: Path, tmp_path: Path) -> None:
    done = bench("history", runs, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "3 runs",
        str(tmp_path / "history.html"),
        str(tmp_path / "history.png"),
    ]
    assert (tmp_path / "history.png").stat().st_size > 10_000


def test_a_history_of_nothing(bench: Bench, tmp_path: Path) -> None:
    done = bench("history", tmp_path)
    assert done.returncode == 2
    assert "holds no run that can be read" in done.stderr
