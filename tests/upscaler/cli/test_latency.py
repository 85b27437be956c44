"""`upscaler bench latency` as QA runs it: processes, files and exit codes."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from upscaler.bench.latency.results import read_run

COMMAND = (sys.executable, "-m", "upscaler", "bench", "latency")
Latency = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("--targets", "128x72", "--scale", "2", "--frames", "10", "--rounds", "1")


@pytest.fixture
def latency(run_here: Latency) -> Latency:
    """Run the command in this process; the service it starts is another all the same."""
    return partial(run_here, "bench", "latency")


def test_a_run_with_budgets(latency: Latency, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text('["128x72/bicubic"]\np99 = 0.001\n')
    done = latency(
        *("--out", tmp_path / "out", "--targets", "128x72,96x48", "--scale", "2,1.5"),
        *("--methods", "nearest,bicubic", "--frames", 6, "--budget", "2x:p50=10000"),
        *("--rounds", 2),
        *("--budget", limits),
    )
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    missed = [line for line in lines if line.startswith("upscaler: missed ")]
    assert [line.split()[2] for line in missed] == ["72p/2x/bicubic:"]
    assert "72p/2x/bicubic: p99 is " in missed[0]
    left_out = [line for line in lines if "left out" in line]
    assert [line.split()[3] for line in left_out] == [
        "72p/1.5x/nearest:",
        "72p/1.5x/bicubic:",
    ]
    assert "72p/2x/nearest" in done.stdout
    assert "closed loop" in done.stdout
    found = read_run(tmp_path / "out")
    assert [each.key for each in found.combinations] == [
        "72p/2x/nearest",
        "72p/2x/bicubic",
        "96x48/2x/nearest",
        "96x48/2x/bicubic",
        "96x48/1.5x/nearest",
        "96x48/1.5x/bicubic",
    ]
    assert (tmp_path / "out" / "report.html").stat().st_size > 50_000


def test_an_open_loop_of_a_folder_of_images(
    latency: Latency, pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    done = latency(
        *(*SMALL, "--out", tmp_path / "out", "--methods", "nearest", "--fps", 120),
        *("--source", pairs[0], "--transport", "inline", "--delivery", "latest"),
    )
    assert done.returncode == 0, done.stderr
    found = read_run(tmp_path / "out")
    assert (found.settings.source, found.settings.delivery) == ("low", "latest")
    assert found.combinations[0].transport == "inline"
    rows = (tmp_path / "out" / "presentmon" / "72p_2x_nearest.csv").read_text().splitlines()
    assert len(rows) == 11


def test_the_device_alone(latency: Latency, tmp_path: Path) -> None:
    done = latency(
        *(*SMALL, "--out", tmp_path, "--methods", "quicksrnet-small", "--device-only"),
        *("--engine", "onnxruntime", "--threads", 1),
    )
    assert done.returncode == 0, done.stderr
    assert "the engine alone" in done.stdout
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["settings"]["threads"] == 1
    assert found["combinations"][0]["engine"] == "onnxruntime"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_sees_how_far_it_is_and_an_interrupt_leaves_a_report(tmp_path: Path) -> None:
    given = [*COMMAND, "--out", str(tmp_path), "--targets", "72p,144p", "--scale", "2"]
    given += ["--methods", "nearest", "--fps", "50", "--frames", "1000", "--seconds", "2"]
    given += ["--source", "synthetic", "--rounds", "1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    leader, follower = pty.openpty()
    with subprocess.Popen(
        given, stdout=follower, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        os.close(follower)
        # The first combination has written what it has; the second has a thousand frames to go.
        while not (tmp_path / "run.json").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        seen = _read_all(leader)
        _, stderr = process.communicate(timeout=60)
    os.close(leader)
    assert b"1 of 2: 72p/2x/nearest" in seen
    assert b"left" in seen
    assert process.returncode == 130, stderr
    last = stderr.splitlines()[-1]
    assert last == f"upscaler: interrupted; {tmp_path}/report.html has the frames until then"
    found = read_run(tmp_path)
    assert found.status == "interrupted"
    assert [each.status for each in found.combinations] == ["shortened", "interrupted"]
    assert "interrupted at 144p/2x/nearest" in (tmp_path / "report.html").read_text()


def _read_all(terminal: int) -> bytes:
    seen = b""
    try:
        while part := os.read(terminal, 65536):
            seen += part
    except OSError:  # the other side has closed
        pass
    return seen


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--targets", "4k"], "unknown target '4k'; name results as 540p, 720p, 1080p"),
        (["--targets", "720p", "--scale", "1.5"], "720p cannot be made at 1.5x"),
        (["--scale", "9"], "unsupported scale 9"),
        (["--methods", "magic"], "unknown method 'magic'; choose one of quicksrnet-small"),
        (["--budget", "720p:p99=1", "--targets", "540p"], "budget 720p:p99=1 names nothing"),
        (["--budget", "fast"], "'fast' is no budget"),
        (["--budget", "none.toml"], "cannot read none.toml"),
        (["--fps", "0"], "a rate of 0 frames a second is out of range"),
        (["--fps", "60", "--device-only"], "the device alone has no rate"),
        (["--transport", "shm", "--device-only"], "the device alone has no transport"),
        (["--transport", "pigeon", "--methods", "nearest"], "unknown transport 'pigeon'"),
        (["--delivery", "some", "--methods", "nearest"], "unknown delivery 'some'"),
        (["--source", "nowhere.mp4"], "nowhere.mp4 is missing"),
        (["--engine", "abacus"], "unknown engine 'abacus'"),
        (["--model", "nothing.onnx"], "there is no model file nothing.onnx"),
        (["--format", "yuv"], "unknown pixel format 'yuv'"),
        (["--frames", "0"], "Invalid value for '--frames'"),
    ],
)
def test_bad_input_is_one_line(
    latency: Latency, arguments: list[str], words: str, tmp_path: Path
) -> None:
    done = latency("--out", tmp_path / "out", *arguments)
    assert done.returncode == 2, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("upscaler: ")
    assert words in line
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file(latency: Latency, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"")
    done = latency(*SMALL, "--out", tmp_path / "out.png", "--methods", "nearest")
    assert done.returncode == 2
    assert done.stderr.startswith(f"upscaler: cannot write to {tmp_path}/out.png: ")
