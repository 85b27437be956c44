"""The game in C, built here and run on Xvfb against a real service."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.filters.library import make_filter
from upscaler.images import read_image
from upscaler.service.process import ServiceProcess

GAME = Path(__file__).parents[2] / "examples" / "c-game"
SMALL = Size(192, 108)
LARGE = Size(384, 216)
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def c_game(c_flags: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program, built by its own Makefile with every warning an error."""
    c_flags("sdl2", "libzmq", tools=("make",))  # the Makefile asks for them itself
    build = tmp_path_factory.mktemp("c-game")
    command = ["make", "-C", str(GAME), f"BUILD={build}", "CFLAGS=-O2 -Werror"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return str(build / "c-game")


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [program, "--size", str(SMALL), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def shown(
    c_game: str, service: ServiceProcess, screen: str, tmp_path: Path
) -> Callable[..., Frame]:
    """Play twelve frames by a method, and return what was shown last: shown(method)."""
    assert screen

    def show(method: str, *options: str) -> Frame:
        picture = tmp_path / f"{method}.bmp"
        played = ["--frames", "12", "--screenshot", str(picture), "--method", method]
        done = run(c_game, "--endpoint", service.endpoint, *played, *options)
        assert done.returncode == 0, done.stderr
        assert method in done.stdout
        return read_image(picture)[..., :3]

    return show


def upscaled_by(method: str, frame: Frame) -> Frame:
    upscaler = make_filter(method, SMALL, LARGE, PixelFormat.BGR8)
    picture = np.empty(upscaler.output_shape, np.uint8)
    upscaler(frame, picture)
    return picture


def test_what_is_shown_is_the_scene_as_the_service_upscales_it(
    shown: Callable[..., Frame],
) -> None:
    doubled = shown("nearest", "--no-hud")
    assert doubled.shape == (LARGE.height, LARGE.width, 3)
    frame = np.ascontiguousarray(doubled[::2, ::2])
    assert np.array_equal(doubled, frame.repeat(2, 0).repeat(2, 1))
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 1000  # a picture, and no flat colour
    for method in ("bicubic", "fsr1"):
        assert np.array_equal(shown(method, "--no-hud"), upscaled_by(method, frame))
    network = shown("quicksrnet-small", "--no-hud")
    for other in (doubled, upscaled_by("bicubic", frame), upscaled_by("fsr1", frame)):
        assert not np.array_equal(network, other)
    assert np.abs(network.astype(int) - upscaled_by("bicubic", frame)).mean() < 4


def test_words_are_drawn_over_the_upscaled_picture(shown: Callable[..., Frame]) -> None:
    plain, worded = shown("off", "--no-hud"), shown("off")
    changed = (plain != worded).any(axis=2)
    assert changed[:60].any()
    assert not changed[80:160].any()


def test_the_game_goes_on_without_a_service_and_finds_it_again(
    c_game: str, screen: str, tmp_path: Path
) -> None:
    assert screen
    endpoint = f"ipc://{tmp_path}/game"
    command = [c_game, "--size", str(SMALL), "--endpoint", endpoint, "--method", "nearest"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as game:
        try:
            for _ in range(2):  # there is none at first, and none after it was killed
                with ServiceProcess(bind=endpoint) as service:
                    wait_until(lambda service=service: f"{SMALL} bgra8" in service.log(), game)
                    service.send_signal(signal.SIGKILL)
            with ServiceProcess(bind=endpoint) as service:
                wait_until(lambda: f"{SMALL} bgra8" in service.log(), game)
                game.terminate()
                said, _ = game.communicate(timeout=30)
        finally:
            game.kill()
    assert game.returncode == 0
    assert "nearest" in said


def wait_until(condition: Callable[[], bool], game: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert game.poll() is None, "the game has ended"
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--frames", "none"], (2, '--frames cannot be "none"')),
        (["--size", "0x0"], (2, '--size cannot be "0x0"')),
        (["--sharp"], (2, "unknown option --sharp")),
        (["--screenshot", "a.bmp"], (2, "a screenshot is of the last of --frames N")),
        (["--frames", "1", "--endpoint", "nowhere"], (1, "nowhere")),
        (["--frames", "1", "--method", "dlss"], (1, "unknown method 'dlss'; choose one of")),
    ],
)
def test_what_cannot_be_is_said(
    c_game: str, service: ServiceProcess, screen: str, options: list[str], said: tuple[int, str]
) -> None:
    assert screen
    done = run(c_game, "--endpoint", service.endpoint, *options)
    code, words = said
    assert done.returncode == code
    assert words in done.stderr
