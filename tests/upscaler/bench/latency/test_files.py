from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import BadRequestError
from upscaler.bench.latency.files import file_names, prepare, write_all
from upscaler.bench.latency.results import Measured, Run, read_run

MakeMeasured = Callable[..., Measured]
MakeRun = Callable[..., Run]


def test_a_run_leaves_all_of_its_files(
    tmp_path: Path, make_measured: MakeMeasured, make_run: MakeRun
) -> None:
    run = make_run(
        make_measured([5.0, 6.0], target="540p"),
        make_measured([7.0, 8.0], method="fsr1:stops=0.5,denoise"),
    )
    write_all(tmp_path, run)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert files == [
        "frames_1080p.png",
        "frames_540p.png",
        "growth.png",
        "mangohud/1080p_2x_fsr1_stops=0.5_denoise.csv",
        "mangohud/540p_2x_fsr1.csv",
        "presentmon/1080p_2x_fsr1_stops=0.5_denoise.csv",
        "presentmon/540p_2x_fsr1.csv",
        "report.html",
        "run.json",
    ]
    assert read_run(tmp_path) == run
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("data:image/png") == 3


def test_no_two_names_are_alike(make_measured: MakeMeasured) -> None:
    methods = ("fsr1:denoise,stops=1", "fsr1:denoise;stops=1", "FSR1:denoise,stops=1")
    names = file_names([make_measured([1.0], method=method) for method in methods])
    assert len({name.lower() for name in names.values()}) == 3


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadRequestError, match=r"cannot write to .*file"):
        prepare(tmp_path / "file")
    prepare(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
