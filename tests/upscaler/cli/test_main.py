"""The command line as users meet it: exit codes, one line for an error.

Real processes where a process of its own can make a difference, and else the process of the tests.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from protocol.errors import ServiceTimeoutError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.client import Client
from upscaler.images import read_image, write_image

RunHere = Callable[..., subprocess.CompletedProcess[str]]


def upscaler(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upscaler", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "frame.png"
    write_image(path, game_frame(Size(40, 24), PixelFormat.BGR8))
    return path


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['upscaler', '--help']\n"
        "from upscaler.cli.main import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'cv2', 'zmq', 'onnx', 'onnxruntime', 'openvino', 'numba', 'rich',"
        " 'matplotlib', 'torch', 'mss', 'pygame', 'starlette', 'uvicorn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in (
        "serve",
        "capture",
        "view",
        "demo",
        "image",
        "compare",
        "metrics",
        "doctor",
        "npu",
        "cache",
        "top",
        "model",
        "bench",
    ):
        assert command in done.stdout


@pytest.mark.parametrize("method", ["quicksrnet-small", "fsr1"])
def test_an_image_is_upscaled(picture: Path, tmp_path: Path, method: str) -> None:
    done = upscaler("image", picture, tmp_path / "out.png", "--method", method)
    assert_upscaled(done, tmp_path / "out.png", method)


@pytest.mark.parametrize("method", ["bicubic", "bicubic-matlab", "nearest"])
def test_an_image_is_upscaled_by_any_filter(
    run_here: RunHere, picture: Path, tmp_path: Path, method: str
) -> None:
    done = run_here("image", picture, tmp_path / "out.png", "--method", method)
    assert_upscaled(done, tmp_path / "out.png", method)


def assert_upscaled(done: subprocess.CompletedProcess[str], out: Path, method: str) -> None:
    assert done.returncode == 0, done.stderr
    assert f"80x48 by {method}" in done.stdout
    assert read_image(out).shape == (48, 80, 3)


def test_alpha_is_kept(run_here: RunHere, tmp_path: Path) -> None:
    image = game_frame(Size(20, 10), PixelFormat.BGRA8)
    image[:, :10, 3] = 0
    write_image(tmp_path / "in.webp", image)
    done = run_here("image", tmp_path / "in.webp", tmp_path / "out.png", "--method", "fsr1")
    assert done.returncode == 0, done.stderr
    alpha = read_image(tmp_path / "out.png")[:, :, 3]
    assert alpha.shape == (20, 40)
    assert np.all(alpha[:, :16] == 0)
    assert np.all(alpha[:, 24:] == 255)


def test_filters_reach_any_size(run_here: RunHere, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jpg"
    done = run_here("image", picture, out, "--method", "fsr1", "--size", "61x37")
    assert done.returncode == 0, done.stderr
    assert read_image(out).shape == (37, 61, 3)


def test_a_video_reuses_what_did_not_change(run_here: RunHere, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for at in range(4):
        write_image(clip / f"{at}.png", game_frame(Size(64, 36), PixelFormat.BGR8))
    out = tmp_path / "out.mp4"
    done = run_here("video", clip, out, "--engine", "onnxruntime", "--reuse-unchanged")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "reuse: 4 frames: 3 unchanged, 0 in part (0 windows), 1 whole"
    )
    model = "quicksrnet-small-x2-float"
    done = run_here("video", clip, out, "--model", model, "--reuse-unchanged")
    assert done.returncode == 2
    assert f"{model} is a float model" in done.stderr


def test_a_folder_becomes_a_video_and_a_video_a_video(run_here: RunHere, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    frame = game_frame(Size(64, 36), PixelFormat.BGR8)
    for index in range(5):
        write_image(clip / f"{index}.png", np.roll(frame, index, axis=1))
    first, second = tmp_path / "first.avi", tmp_path / "second.mp4"
    assert run_here("video", clip, first, "--method", "nearest").returncode == 0
    done = upscaler("video", first, second, "--method", "bicubic", "--scale", "1.5")
    assert done.returncode == 0, done.stderr
    video = cv2.VideoCapture(str(second))
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (192, 108)
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    video.release()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["image", "{in}", "{out}", "--scale", "7"], "unsupported scale 7"),
        (
            ["image", "{in}", "{out}", "--scale", "4", "--model", "quicksrnet-small-x2"],
            "has no model for 4x; it has 2x",
        ),
        (["image", "{in}", "{out}", "--engine", "cuda"], "unknown engine 'cuda'"),
        (["image", "{in}", "{out}", "--model", "none"], "none"),
        (["image", "{in}", "{out}", "--size", "80x48"], "--size is for the filters"),
        (["image", "{in}", "{out}", "--method", "fsr1", "--size", "80"], "'80' is no size"),
        (["image", "{in}", "{out}", "--method", "fsr1", "--size", "0x48"], "0x48"),
        (["image", "{in}", "{out}", "--method", "fsr1", "--size", "8000x8000"], "too large"),
        (["image", "{in}", "{out}", "--method", "fsr1", "--sharpness", "-1"], "sharpness"),
        (["image", "{missing}", "{out}"], "cannot read {missing}: No such file"),
        (["image", "{in}", "{folder}/no/out.png"], "cannot write {folder}/no/out.png"),
        (["image", "{in}", "{out}", "--method", "fsr1", "--engine", "cuda"], "unknown engine"),
        (["image", "{in}", "{out}", "--method", "bicubic", "--sharpness", "nan"], "sharpness"),
        (["image", "{in}", "{out}", "--method", "fsr1", "--size", 5000 * "9" + "x4"], "is no size"),
        (["image", "{in}"], "Missing argument"),
        (["image", "{in}", "{out}", "--nonsense"], "No such option"),
        (["video", "{missing}", "{folder}/out.mp4"], "{missing} is missing"),
        (["demo", "--out", "{text}"], "cannot make the folder {text}"),
        (["bench", "quality", "--frames", "{folder}"], "manifest"),
    ],
)
def test_an_error_is_one_line(
    run_here: RunHere, picture: Path, arguments: list[str], words: str
) -> None:
    assert_refused(run_here, picture, arguments, words)


# OpenCV reads how loud it may be when it is loaded, and a service ends with its process.
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["image", "{in}", "{out}", "--method", "dlss"], "unknown method 'dlss'"),
        (["image", "{text}", "{out}"], "{text} is not an image that OpenCV can read"),
        (["image", "{in}", "{folder}/out.gifx"], "{folder}/out.gifx: OpenCV cannot write .gifx"),
        (["video", "{text}", "{folder}/out.mp4"], "{text} is not an image"),
        (["serve", "--bind", "tcp://1.2.3.4:5"], "not on this machine"),
    ],
)
def test_an_error_of_a_process_is_one_line(picture: Path, arguments: list[str], words: str) -> None:
    assert_refused(upscaler, picture, arguments, words)


def assert_refused(run: RunHere, picture: Path, arguments: list[str], words: str) -> None:
    folder = picture.parent
    (folder / "text.png").write_text("no image")
    names = {
        "in": picture,
        "out": folder / "out.png",
        "missing": folder / "missing.png",
        "text": folder / "text.png",
        "folder": folder,
    }
    done = run(*(argument.format(**names) for argument in arguments))
    assert done.returncode == 2
    assert words.format(**names) in done.stderr
    assert done.stderr.startswith("upscaler: ")
    assert done.stderr.count("\n") == 1
    assert not (folder / "out.png").exists()


def test_an_interrupt_is_one_line_and_takes_the_service_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "upscaler", "demo", "--seconds", "60", "--out", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        endpoint = next(
            line.split()[-1] for line in demo.stdout if line.startswith("listening on ")
        )
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 130
        assert demo.stderr.read() == "upscaler: interrupted\n"
    with pytest.raises(ServiceTimeoutError):
        Client(endpoint, size=(8, 8), timeout_s=0.3)


def test_a_target_that_cannot_be_written_is_said_before_the_clip_is_played(
    run_here: RunHere, tmp_path: Path
) -> None:
    (tmp_path / "latency.png").mkdir()
    done = run_here("demo", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"upscaler: cannot write {tmp_path}/latency.png: Is a directory\n"
    assert "listening" not in done.stdout


def test_the_demo_leaves_its_pictures(run_here: RunHere, tmp_path: Path) -> None:
    done = run_here("demo", "--out", tmp_path / "demo", "--seconds", "1")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert (summary["input"], summary["result"]) == ("960x540", "1920x1080")
    assert summary["emulated"] is False
    quality = {name: method["psnr_db"] for name, method in summary["methods"].items()}
    assert quality["quicksrnet-small"] > max(quality["bicubic"], quality["fsr1"])
    for method in summary["methods"].values():
        assert 0 < method["upscaling"]["p50_ms"] <= method["total"]["p50_ms"]
    for name in ("compare.png", "latency.png"):
        assert min(read_image(tmp_path / "demo" / name).shape[:2]) > 300


@pytest.mark.parametrize("scale", ["ultra-quality", "3"])
def test_every_filter_is_timed(run_here: RunHere, scale: str) -> None:
    done = run_here("bench", "filters", "--size", "40x24", "--scale", scale, "--rounds", 3)
    assert done.returncode == 0, done.stderr
    for name in ("fsr1", "sgsr1", "lanczos", "first ms"):
        assert name in done.stdout
    assert ("nis" in done.stdout) == (scale != "3")
