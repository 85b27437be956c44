"""`upscaler compare` as users meet it, on real frames."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from upscaler.images import read_image

RunHere = Callable[..., subprocess.CompletedProcess[str]]


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upscaler", "compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


METHODS = ("--method", "quicksrnet-small", "--method", "fsr1:denoise", "--method", "bicubic")
ENGINE = ("--engine", "onnxruntime")


def test_folders_of_pairs(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = compare(pairs[0], "--native", pairs[1], "--out", out, *METHODS, *ENGINE)
    assert done.returncode == 0, done.stderr
    assert "3 frames at 2x" in done.stdout
    assert "fsr1:denoise" in done.stdout
    report = json.loads((out / "report.json").read_text())
    assert [method["engine"] for method in report["methods"]] == ["onnxruntime", "numba", "opencv"]
    assert (out / "report.html").stat().st_size > 10_000
    picture = read_image(out / report["frames"][0]["pictures"]["fsr1:denoise"])
    assert picture.shape == (96, 160, 3)


def test_a_video_and_a_folder_together(
    run_here: RunHere, pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    video = tmp_path / "clip.avi"
    assert run_here("video", pairs[0], video, "--method", "nearest").returncode == 0
    out = tmp_path / "out"
    done = run_here(
        "compare", video, pairs[0], "--out", out, "--method", "bicubic", "--scale", "1.3"
    )
    assert done.returncode == 0, done.stderr
    assert "6 frames at 1.3x" in done.stdout
    report = json.loads((out / "report.json").read_text())
    names = sorted(frame["name"] for frame in report["frames"])
    assert names[0] == "1-clip.avi/clip/000000"
    assert names[-1] == "2-low/002"


def test_what_was_left_out_is_said(
    run_here: RunHere, pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    (pairs[0] / "001.png").write_bytes(b"")
    out = tmp_path / "out"
    given = [pairs[0], "--native", pairs[1], "--out", out, *METHODS[4:], "--keep-going"]
    done = run_here("compare", *given)
    assert done.returncode == 1
    assert "2 frames" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("upscaler: left out 001: ")
    assert "001.png is not an image" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{missing}"], "{missing} is missing"),
        (["{low}", "--native", "{missing}"], "{missing} is missing"),
        (
            ["{low}", "--native", "{other}"],
            "{low} has 3 images and {other} has 1: {other} has none",
        ),
        (["{low}", "--native", "{low}", "--native", "{low}"], "give one for each"),
        (["{low}", "--native", "{wrong}"], "{wrong}/000.png is 70x96, which is no upscaling"),
        (["{low}", "--scale", "5"], "choose a ratio from 1 to 4"),
        (["{low}", "--method", "dlss"], "unknown method 'dlss'"),
        (["{low}", "--method", "fsr1:limiter=9"], "unknown limiter '9'"),
        (["{low}", "--method", "nis", "--scale", "3"], "nis"),
        (["{low}", "--engine", "cuda"], "unknown engine 'cuda'"),
        (["{tiny}", "--native", "{tiny}"], "a: SSIM needs 11x11 pixels, not 5x5"),
    ],
)
def test_an_error_is_one_line(
    run_here: RunHere, pairs: tuple[Path, Path], arguments: list[str], words: str
) -> None:
    assert_refused(partial(run_here, "compare"), pairs, arguments, words)


# OpenCV reads how loud it may be when it is loaded.
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{text}"], "{text} is not a video"),
        (["{damaged}"], "{damaged}/a.png is not an image"),
        (["{floats}"], "a.tif holds floats from -1 to 2"),
    ],
)
def test_an_error_of_a_process_is_one_line(
    pairs: tuple[Path, Path], arguments: list[str], words: str
) -> None:
    assert_refused(compare, pairs, arguments, words)


def assert_refused(
    run: RunHere, pairs: tuple[Path, Path], arguments: list[str], words: str
) -> None:
    tmp_path = pairs[0].parent
    folders = {name: tmp_path / name for name in ("other", "wrong", "damaged", "floats", "tiny")}
    for folder in folders.values():
        folder.mkdir()
    high = read_image(pairs[1] / "000.png")
    cv2.imwrite(str(folders["other"] / "000.png"), high)
    for index in range(3):
        cv2.imwrite(str(folders["wrong"] / f"00{index}.png"), high[:, :70])
    (folders["damaged"] / "a.png").write_bytes(b"no image")
    cv2.imwrite(str(folders["floats"] / "a.tif"), np.linspace(-1, 2, 64, dtype=np.float32))
    cv2.imwrite(str(folders["tiny"] / "a.png"), np.zeros((5, 5, 3), np.uint8))
    (tmp_path / "text").write_text("no video")
    names = {"low": pairs[0], "missing": tmp_path / "none", "text": tmp_path / "text", **folders}
    given = [argument.format(**names) for argument in arguments]
    if "--method" not in given:
        given += ["--method", "bicubic"]
    done = run(*given, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("upscaler: ")
    assert words.format(**names) in line


def test_an_interrupt_leaves_a_report(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    for folder in pairs:
        contents = (folder / "000.png").read_bytes()
        for index in range(1000):
            (folder / f"{index:03d}.png").write_bytes(contents)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "upscaler", "compare", str(pairs[0]), "--native", pairs[1]]
    with subprocess.Popen(
        [*command, "--out", str(out), "--method", "fsr1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not list(out.glob("pictures/*/native.png")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr == f"upscaler: interrupted; {out}/report.html has the frames until then\n"
    report = json.loads((out / "report.json").read_text())
    assert 0 < len(report["frames"]) < 1000
