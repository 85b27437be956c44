"""`upscaler doctor` as users meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from upscaler.cli.doctor import as_table
from upscaler.doctor.check import Check
from upscaler.doctor.machine import PACKAGES
from upscaler.engines.library import ENGINES

NAMES = [
    "python",
    "platform",
    *PACKAGES,
    "cpu",
    "cpu features",
    "numba cache",
    "npu cache",
    "shared memory",
    "clock",
    "npu",
    *(f"engine {name}" for name in ENGINES),
]


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upscaler", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_every_check_is_a_line() -> None:
    done = doctor()
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for name in NAMES:
        assert len([line for line in lines if line.startswith(f"{name}  ")]) == 1, name
    failed = [line for line in lines if " failed " in line]
    assert done.returncode == (1 if failed else 0), done.stdout


def test_the_same_as_json() -> None:
    done = doctor("--json")
    found = json.loads(done.stdout)
    assert [check["name"] for check in found["checks"]] == NAMES
    failed = [check for check in found["checks"] if check["status"] == "failed"]
    assert done.returncode == (1 if failed else 0)
    assert found["ok"] is not bool(failed)
    for check in found["checks"]:
        assert check["detail"]
        assert bool(check["remedy"]) == (check["status"] != "ok")


def test_a_library_that_does_not_load_is_a_failed_line(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so.12 is\\nmissing [1]')\n")
    done = doctor(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == ""
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    (line,) = [line for line in lines if line[:2] == ["engine", "openvino"]]
    assert line[2] == "failed"
    after = lines[lines.index(line) + 1]
    assert after[:3] == ["->", "pip", "install"]


def test_messages_are_no_markup() -> None:
    said = StringIO()
    check = Check(name="npu", status="failed", detail="[/dev/x] [red]", remedy="pip install 'a[b]'")
    Console(file=said, width=80).print(as_table([check]))
    assert "[/dev/x] [red]" in said.getvalue()
    assert "-> pip install 'a[b]'" in said.getvalue()
