from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from protocol.errors import BadRequestError
from upscaler.bench.latency.history import read_history, write_history
from upscaler.bench.latency.results import Measured, Run, write_run
from upscaler.images import read_image

MakeMeasured = Callable[..., Measured]
MakeRun = Callable[..., Run]


@pytest.fixture
def folder(tmp_path: Path, make_measured: MakeMeasured, make_run: MakeRun) -> Path:
    """Three runs, of which the newest lies first, beside files that are none."""
    for day, name in ((3, "a"), (1, "b"), (2, "c")):
        (tmp_path / name).mkdir()
        combinations = [make_measured([float(day)] * 100)]
        if day != 2:
            combinations.append(make_measured([2.0 * day] * 100, target="540p"))
        run = make_run(*combinations, made=f"2026-03-0{day}T10:00:00+00:00")
        write_run(tmp_path / name / "run.json", run)
    (tmp_path / "notes.json").write_text("{}")
    return tmp_path


def test_runs_are_read_from_the_oldest_on(folder: Path) -> None:
    history = read_history(folder)
    assert [run.made[8:10] for run in history.runs] == ["01", "02", "03"]
    assert list(history.targets) == ["540p", "1080p"]
    assert [number for number, _ in history.targets["540p"]["540p/2x/fsr1"]] == [0, 2]
    (left,) = history.left_out
    assert "notes.json is no latency run" in left


def test_a_picture_and_a_page(folder: Path, tmp_path: Path) -> None:
    page = write_history(tmp_path, read_history(folder))
    assert read_image(tmp_path / "history.png").shape[1] > 1000
    text = page.read_text(encoding="utf-8")
    assert "Latency over 3 runs" in text
    assert "notes.json is no latency run" in text
    assert "<td>1.00</td><td>2.00</td><td>3.00</td>" in text
    assert "<td>2.00</td><td></td><td>6.00</td>" in text


def test_several_machines_are_said(
    tmp_path: Path, make_measured: MakeMeasured, make_run: MakeRun
) -> None:
    one = make_run(make_measured([1.0] * 10))
    other = replace(one, machine=replace(one.machine, cpu="Another"), made="2026-04-01T00:00:00")
    write_run(tmp_path / "one.json", one)
    write_run(tmp_path / "other.json", other)
    page = write_history(tmp_path, read_history(tmp_path))
    assert "runs of 2 machines: A processor, 2 cores; Another, 2 cores" in page.read_text()


def test_folders_without_runs(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="gone is no folder"):
        read_history(tmp_path / "gone")
    with pytest.raises(BadRequestError, match="holds no run that can be read; `upscaler bench"):
        read_history(tmp_path)
    (tmp_path / "a.json").write_text('{"format": "upscaler latency run", "version": 0}')
    with pytest.raises(BadRequestError, match=r"holds no run .*of version 0, older than 1"):
        read_history(tmp_path)


def test_runs_without_frames(
    tmp_path: Path, make_measured: MakeMeasured, make_run: MakeRun
) -> None:
    write_run(tmp_path / "run.json", make_run(make_measured([], status="failed")))
    with pytest.raises(BadRequestError, match="no run holds a frame"):
        write_history(tmp_path, read_history(tmp_path))
