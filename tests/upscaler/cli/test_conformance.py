"""`upscaler conformance`: the table, JSON, exit codes, and drivers that listen."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import UpscalerError
from upscaler.cli.conformance import run

RunHere = Callable[..., subprocess.CompletedProcess[str]]
DRIVER = shlex.join([sys.executable, "-m", "upscaler.conformance.driver"])
PROGRAM = """
from upscaler.conformance.driver import Driver, main
class Broken(Driver):
    def crc(self, pixels):
        return "0badc0de"
main(Broken(), [])
"""
BROKEN = shlex.join([sys.executable, "-c", PROGRAM])


def conformance(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upscaler", "conformance", *arguments]
    wide = os.environ | {"COLUMNS": "200"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=wide
    )


def test_the_table_and_the_exit_code_say_what_failed(tmp_path: Path) -> None:
    to = tmp_path / "results.json"
    cases = ["--case", "keepalives", "--case", "refused-without-*"]
    done = conformance("--command", BROKEN, *cases, "--json", str(to))
    assert done.returncode == 1, done.stderr
    assert "conformance of python" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("│ ")]
    assert any("refused-without-a-sentence" in row and "passed" in row for row in rows)
    assert any("keepalives" in row and "FAILED" in row and "[Liveness]" in row for row in rows)
    assert "came ok id=1 outcome=upscaled crc=0badc0de" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"
    told = json.loads(to.read_text())
    assert (told["client"], told["driver"], told["protocol"]) == ("python", BROKEN, "1.0")
    assert (told["passed"], told["failed"], told["skipped"]) == (1, 1, 0)
    (failed,) = [case for case in told["cases"] if case["status"] == "failed"]
    assert failed["name"] == "keepalives"
    assert failed["expected"].startswith("ok id=1 outcome=upscaled crc=")
    assert failed["dialogue"][-1] == "< ok id=1 outcome=upscaled crc=0badc0de"


def test_a_driver_that_listens_is_connected_to() -> None:
    listening = [*shlex.split(DRIVER), "--listen", "0"]
    with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        address = driver.stdout.readline().split()[-1]
        done = conformance("--connect", address, "--case", "keepalives", "--verbose")
        assert driver.wait(30) == 0  # it was told to quit
    assert done.returncode == 0, done.stderr
    assert "> hello\n< ok client=python transports=shm,inline\n" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"


def test_the_cases_are_listed(run_here: RunHere) -> None:
    done = run_here("conformance", "--list", "--case", "killed")
    assert done.returncode == 0
    assert done.stdout.split()[0] == "killed"
    assert "SERVICE_LOST" in done.stdout
    assert done.stdout.rstrip().endswith("[Liveness]")


@pytest.mark.parametrize(
    ("command", "connect", "names", "words"),
    [
        (
            None,
            None,
            [],
            "give either --command, a driver to start, or --connect, one that listens",
        ),
        (DRIVER, "localhost:1", [], "give either --command"),
        (DRIVER, None, ["no"], "there is no case 'no'; --list names them"),
        ("", None, [], "--command is empty; give the program that drives your client"),
        ("'a", None, [], '--command "\'a" cannot be split into words: No closing quotation'),
        ("./no", None, [], "cannot run ./no: No such file or directory; see --command"),
        (None, "no", [], "--connect 'no' is no address; write it as HOST:PORT"),
        ("false", None, [], "the driver ended with exit code 1 at `hello`"),
    ],
)
def test_what_cannot_be_run_is_said(
    command: str | None, connect: str | None, names: list[str], words: str
) -> None:
    with pytest.raises(UpscalerError) as caught:
        run(command, connect, names=names, engine="auto", json_file=None, verbose=False)
    assert str(caught.value).startswith(words)


def test_what_cannot_be_run_is_one_line_and_exit_code_2(run_here: RunHere) -> None:
    done = run_here("conformance", "--command", "./no")
    assert done.returncode == 2
    assert done.stderr == "upscaler: cannot run ./no: No such file or directory; see --command\n"
