"""The game in Panda3D, on Xvfb and software OpenGL against a real service.

Skipped where there is no panda3d (pip install panda3d), a download of 53 MB that nothing
else here needs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.filters.library import make_filter
from upscaler.images import read_image
from upscaler.service.process import ServiceProcess

pytest.importorskip("panda3d", reason="panda3d is not there (pip install panda3d)")

GAME = Path(__file__).parents[2] / "examples" / "panda3d" / "game.py"
SMALL, LARGE = Size(240, 136), Size(480, 272)


def shown(endpoint: str, method: str, folder: Path, *options: str) -> Frame:
    picture = folder / f"{method}.png"
    size = ["--size", str(LARGE.width), str(LARGE.height)]
    played = ["--frames", "3", "--screenshot", str(picture), "--method", method]
    done = subprocess.run(
        [sys.executable, str(GAME), "--endpoint", endpoint, *size, *played, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert f"3 frames; {method}" in done.stdout
    return read_image(picture)[..., :3]


def test_what_is_shown_is_the_scene_as_the_service_upscales_it(
    service: ServiceProcess, screen: str, tmp_path: Path
) -> None:
    assert screen
    doubled = shown(service.endpoint, "nearest", tmp_path, "--no-hud")
    frame = np.ascontiguousarray(doubled[::2, ::2])
    assert np.array_equal(doubled, frame.repeat(2, 0).repeat(2, 1))
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 1000
    fsr1 = make_filter("fsr1", SMALL, LARGE, PixelFormat.BGR8)
    expected = np.empty(fsr1.output_shape, np.uint8)
    fsr1(frame, expected)
    assert np.array_equal(shown(service.endpoint, "fsr1", tmp_path, "--no-hud"), expected)


def test_an_unknown_method_is_said_and_the_game_goes_on(
    service: ServiceProcess, screen: str, tmp_path: Path
) -> None:
    assert screen
    command = [sys.executable, str(GAME), "--endpoint", service.endpoint, "--size", "320", "180"]
    done = subprocess.run(
        [*command, "--frames", "2", "--method", "dlss"],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "bilinear on the GPU: unknown method 'dlss'; choose one of" in done.stdout
