"""`upscaler top` and `upscaler model` against a running service, and `serve` that does not run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from upscaler.client import Client
from upscaler.service.process import ServiceProcess

RunHere = Callable[..., subprocess.CompletedProcess[str]]


def upscaler(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upscaler", *arguments]
    wide = os.environ | {"COLUMNS": "200"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=wide
    )


def test_top_shows_a_client_and_its_stages(service: ServiceProcess) -> None:
    with Client(service.endpoint, size=(64, 36), method="nearest", name="quake") as client:
        for _ in range(3):
            client.upscale(np.zeros((36, 64, 3), np.uint8))
        done = upscaler("top", "--once", "--connect", service.endpoint)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    (row,) = [line for line in lines if line[:1] == ["quake"] and "nearest" in line]
    assert row[3:8] == ["0/3", "3", "0", "0", "0"]
    assert " ".join(row[8:]) == "nearest 64x36 to 128x72 rgb8, shared memory, latest"
    (first,) = [line for line in lines if line[:1] == ["quake"] and "sent" in line]
    assert all(float(figure) > 0 for figure in first[3:])
    assert [line[0] for line in lines if len(line) == 4 and line[0] == "upscaled"]
    assert ["engine", "openvino"] in [line[:2] for line in lines]


def test_top_says_that_nobody_is_there(run_here: RunHere) -> None:
    done = run_here("top", "--once", "--connect", "tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr == (
        "upscaler: the service at tcp://127.0.0.1:1 did not answer within 5 s; "
        "is `upscaler serve` running there?\n"
    )


def test_models_are_listed_and_loaded(
    run_here: RunHere, service: ServiceProcess, tmp_path: Path
) -> None:
    listed = run_here("model", "list", "--connect", service.endpoint)
    assert "quicksrnet-small-x2: quicksrnet-small 2x (" in listed.stdout
    loaded = run_here("model", "load", "quicksrnet-small-x2", "--connect", service.endpoint)
    assert loaded.returncode == 0, loaded.stderr
    assert "quicksrnet-small-x2" in loaded.stdout
    missing = run_here("model", "load", f"{tmp_path}/none.onnx", "--connect", service.endpoint)
    assert missing.returncode == 2
    assert missing.stderr == f"upscaler: there is no model file {tmp_path}/none.onnx\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "cuda", "--method", "fsr1"], "unknown engine 'cuda'"),
        (["--model", "nothing-x2"], "nothing-x2"),
        (["--model", "/does/not/exist.onnx"], "/does/not/exist.onnx"),
        (["--method", "dlss"], "unknown method 'dlss'"),
        (["--bind", "tcp://0.0.0.0:5560"], "not on this machine"),
        (["--bind", "tcp://127.0.0.1:99999"], "is no endpoint"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_one_line(
    run_here: RunHere, arguments: list[str], words: str
) -> None:
    # Should it start after all, it ends: there is no stdin here.
    done = run_here("serve", "--until-stdin-closes", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("upscaler: ")
    assert words in line
