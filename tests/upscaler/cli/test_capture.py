"""`upscaler capture` and `view` as users meet them: real processes, a real screen, real files."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.images import write_image
from upscaler.service.process import ServiceProcess

Show = Callable[..., Any]
RunHere = Callable[..., subprocess.CompletedProcess[str]]
SIZE = Size(64, 36)


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "upscaler", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line.rstrip()
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "clip"
    folder.mkdir()
    frame = game_frame(SIZE, PixelFormat.BGR8)
    for index in range(5):
        write_image(folder / f"{index}.png", np.roll(frame, 3 * index, axis=1))
    return folder


def frames_of(path: Path) -> list[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    video.release()
    return frames


def test_a_file_becomes_a_file_frame_by_frame(
    run_here: RunHere, clip: Path, tmp_path: Path, service: ServiceProcess
) -> None:
    out = tmp_path / "out.avi"
    done = run_here(
        *("capture", "--file", clip, "--to", out, "--method", "nearest"),
        *("--scale", "3", "--connect", service.endpoint),
    )
    assert done.returncode == 0, done.stderr
    assert "64x36 to 192x108 by nearest (opencv)" in done.stdout
    assert f"{out}: 5 frames" in done.stdout
    frames = frames_of(out)
    assert [frame.shape for frame in frames] == [(108, 192, 3)] * 5
    wanted = np.roll(game_frame(SIZE, PixelFormat.BGR8), 12, axis=1)
    assert np.abs(frames[4][1::3, 1::3].astype(int) - wanted).mean() < 12


def test_it_starts_a_service_where_none_runs(run_here: RunHere, clip: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:  # so that nobody listens at the default address
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 5560))
        done = run_here("capture", "--file", clip, "--to", tmp_path / "out.mp4", "--method", "fsr1")
    assert done.returncode == 0, done.stderr
    assert "started for this" in done.stdout
    assert len(frames_of(tmp_path / "out.mp4")) == 5


def test_a_window_is_recorded_until_it_closes(
    show_window: Show, tmp_path: Path, service: ServiceProcess
) -> None:
    window = show_window("game", width=96, height=54)
    window.do("colour 255 0 0")
    out = tmp_path / "out.avi"
    options = ("--method", "nearest", "--fps", "25", "--connect", service.endpoint, "--to", out)
    with running("capture", "--window", "game", *options) as process:
        assert "96x54 to 192x108" in read_until(process, "window game: ")
        while not out.exists():
            assert process.poll() is None
        window.do("move 100 100")
        window.do("close")
        said, error = process.communicate(timeout=60)
        assert process.returncode == 2
        assert error == "upscaler: the window 'game' was closed\n"
    frames = frames_of(out)
    assert f"{out}: {len(frames)} frames" in said
    if frames:  # the window may have closed before the first came back
        assert frames[-1][-9, -9] == pytest.approx([0, 0, 255], abs=12)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_recording_is_whole(
    show_window: Show, tmp_path: Path, service: ServiceProcess, number: signal.Signals
) -> None:
    show_window("game", width=96, height=54)
    out = tmp_path / "out.mp4"
    options = ("--method", "nearest", "--connect", service.endpoint, "--to", out)
    with running("capture", "--window", "game", *options) as process:
        read_until(process, "window game: ")
        while not out.exists():
            assert process.poll() is None
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 130
        assert f"{out} is whole" in error
        assert error.count("\n") == 1
    assert out.stat().st_size > 0
    assert len(frames_of(out)) >= 0


def test_a_window_of_another_size_is_opened_again(
    show_window: Show, tmp_path: Path, service: ServiceProcess
) -> None:
    window = show_window("game", width=96, height=54)
    with running(
        *("capture", "--window", "game", "--to", "window", "--method", "nearest"),
        *("--connect", service.endpoint),
    ) as process:
        read_until(process, "96x54 to 192x108")
        window.do("resize 80 60")
        read_until(process, "80x60 to 160x120")
    window.do("resize 96 54")
    out = tmp_path / "out.avi"
    with running(
        *("capture", "--window", "game", "--to", out, "--method", "nearest"),
        *("--connect", service.endpoint),
    ) as process:
        read_until(process, "96x54 to 192x108")
        window.do("resize 80 60")
        _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the window is 80x60 now, and a video has one size" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["capture"], "nothing to capture; give one of --window, --region, --monitor and --file"),
        (["capture", "--monitor", "1", "--file", "{clip}"], "--monitor and --file exclude"),
        (["capture", "--region", "1,2,3"], "'1,2,3' is no region; write it as X,Y,WIDTH,HEIGHT"),
        (["capture", "--region", "700,500,200,200"], "does not lie on the screen, which is 800x6"),
        (["capture", "--monitor", "5"], "there is no monitor 5"),
        (["capture", "--window", "doom"], "no window is called 'doom'"),
        (["capture", "--window", "doom", "--native", "{clip}"], "--native is for --file"),
        (["capture", "--file", "{clip}", "--to", "out.gif"], "cannot show it in 'out.gif'; use"),
        (["capture", "--file", "{clip}", "--to", "{clip}/no/out.mp4"], "is the folder there"),
        (["capture", "--file", "{clip}/none.mp4"], "none.mp4 is missing"),
        (["capture", "--file", "{clip}", "--scale", "7"], "unsupported scale 7"),
        (["capture", "--file", "{clip}", "--native", "{clip}"], "is 64x36, but {clip} at 2x is 1"),
        (["capture", "--file", "{clip}", "--method", "dlss", "--to", "a.mp4"], "unknown method"),
        (["capture", "--file", "{clip}", "--fps", "5000", "--to", "browser"], "out of range"),
        (["view", "--file", "{clip}", "--port", "{port}"], "port {port}: it is in use; choose"),
        (["serve", "--viewer", "{port}"], "port {port}: it is in use; choose another"),
    ],
)
def test_an_error_is_one_line(
    screen: str,
    run_here: RunHere,
    clip: Path,
    service: ServiceProcess,
    *,
    arguments: list[str],
    words: str,
) -> None:
    assert screen
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        names = {"clip": clip, "port": taken.getsockname()[1]}
        given = [argument.format(**names) for argument in arguments]
        if given[0] == "serve":
            given += ["--bind", "tcp://127.0.0.1:*", "--method", "nearest"]
        else:
            given += ["--connect", service.endpoint]
        done = run_here(*given)
    assert done.returncode == 2
    error = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(error) == 1
    assert error[0].startswith("upscaler: ")
    assert words.format(**names) in error[0]


@pytest.mark.parametrize("source", [["--monitor", "1"], ["--window", "game"]])
def test_without_a_display(
    run_here: RunHere, monkeypatch: pytest.MonkeyPatch, source: list[str]
) -> None:
    pytest.importorskip("mss")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    done = run_here("capture", *source)
    assert done.returncode == 2
    assert done.stderr == "upscaler: there is no display to capture: DISPLAY is not set\n"


def test_a_codec_that_is_missing_is_said(run_here: RunHere, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 200)
    done = run_here("capture", "--file", tmp_path / "clip.mp4", "--to", tmp_path / "out.mp4")
    assert done.returncode == 2
    assert "clip.mp4 is not a video that OpenCV can read" in done.stderr
