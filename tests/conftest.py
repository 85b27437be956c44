"""Fixtures that several test files share: real processes, real sockets, real game frames."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import pytest

from protocol.frames import PixelFormat, Size
from trainer.graph import Convolution, float_graph, quantised_graph
from upscaler.bench.frames import game_frame
from upscaler.compare.results import (
    NATIVE,
    Bounds,
    Comparison,
    Crop,
    FrameResult,
    Latency,
    Method,
    Scene,
)
from upscaler.contract import Frame
from upscaler.filters.library import make_filter
from upscaler.images import read_image, write_image
from upscaler.metrics import psnr_db, ssim_rgb
from upscaler.models.card import attach_card, weights_sha256
from upscaler.models.library import Model
from upscaler.service.process import ServiceProcess
from upscaler.testing import example_card, near_identity_weights

MakeModel = Callable[..., Model]
MakeComparison = Callable[..., Comparison]
DEBIAN = {"libzmq": "libzmq3-dev", "sdl2": "libsdl2-dev"}
CLIP = Path(__file__).parent.parent / "upscaler" / "demo" / "clip"


@pytest.fixture(scope="session")
def service() -> Iterator[ServiceProcess]:
    """A service process with the default engine, for tests that leave it running."""
    with ServiceProcess() as running:
        yield running
        assert running.running, running.log()


@pytest.fixture
def call_here(
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call a command line in this process: call_here(main, "train", folder).

    In this process, since every new one takes seconds to import what a command needs.
    """

    def call(
        main: Callable[[list[str]], NoReturn], *arguments: object
    ) -> subprocess.CompletedProcess[str]:
        given = list(map(str, arguments))
        with pytest.raises(SystemExit) as ended:
            main(given)
        stdout, stderr = capfd.readouterr()
        return subprocess.CompletedProcess(given, int(ended.value.code or 0), stdout, stderr)

    return call


@pytest.fixture(scope="session")
def c_flags() -> Callable[..., list[str]]:
    """What `cc` takes to build with packages: c_flags("libzmq", "sdl2", tools=("make",)).

    Skips where the compiler, a package or a tool is missing, unless CI_COMPILER=1 says that they
    must be there.
    """

    def flags(*packages: str, tools: tuple[str, ...] = ()) -> list[str]:
        missing = [tool for tool in ("cc", "pkg-config", *tools) if not shutil.which(tool)]
        if not missing:
            missing += [
                f"{package} (apt-get install {DEBIAN[package]})"
                for package in packages
                if subprocess.run(["pkg-config", "--exists", package], check=False).returncode
            ]
        if missing:
            reason = f"no C was compiled; missing: {', '.join(missing)}"
            if os.environ.get("CI_COMPILER") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        asked = ["pkg-config", "--cflags", "--libs", *packages]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()

    return flags


@pytest.fixture(scope="session")
def x_server() -> Iterator[str]:
    """Xvfb, an X server without a screen, of 800x600; its display's name.

    Skips where there is none, unless CI_SCREEN=1 says that there must be.
    """
    with start_x_server() as (name, _):
        yield name


@contextmanager
def start_x_server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start Xvfb; yields its display's name and its process. Skips as `x_server` does."""
    missing = [] if shutil.which("Xvfb") else ["Xvfb (apt-get install xvfb)"]
    modules = ("mss", "Xlib", "pygame")
    missing += [f"{name} (pip install '.[capture]')" for name in modules if not find_spec(name)]
    if missing:
        reason = f"no screen was captured; missing: {', '.join(missing)}"
        if os.environ.get("CI_SCREEN") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24"]
    with subprocess.Popen(
        [*command, "-nolisten", "tcp"], pass_fds=[writer], stderr=subprocess.DEVNULL
    ) as server:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            number = pipe.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}", server
        server.terminate()


@pytest.fixture
def screen(x_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The display of Xvfb, as DISPLAY of this test and its processes."""
    monkeypatch.setenv("DISPLAY", x_server)
    monkeypatch.delenv("XAUTHORITY", raising=False)
    return x_server


@pytest.fixture
def doomed_screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """An X server of its own, as DISPLAY; the call kills it."""
    with start_x_server() as (name, server):
        monkeypatch.setenv("DISPLAY", name)
        monkeypatch.delenv("XAUTHORITY", raising=False)

        def kill() -> None:
            server.kill()
            server.wait()

        yield kill


class WindowProgram:
    """A program with a window, tests/capture/window_program.py, as a process."""

    def __init__(self, title: str, width: int, height: int) -> None:
        program = Path(__file__).parent / "capture" / "window_program.py"
        self._process = subprocess.Popen(
            [sys.executable, str(program), title, str(width), str(height)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._wait()

    def do(self, command: str) -> None:
        """Send a command; returns when it has been done."""
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        self._wait()

    def _wait(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> None:
        """Close the window, and wait for the process."""
        self._process.communicate(timeout=20)


@pytest.fixture
def show_window(screen: str) -> Iterator[Callable[..., WindowProgram]]:
    """Open a window on the screen: show_window(title, width=320, height=180)."""
    assert screen
    shown = []

    def show(title: str, *, width: int = 320, height: int = 180) -> WindowProgram:
        shown.append(WindowProgram(title, width, height))
        return shown[-1]

    yield show
    for program in shown:
        program.end()


@pytest.fixture
def frame() -> Frame:
    """A 64x36 cut of a real game frame, rgb8."""
    return game_frame(Size(64, 36), PixelFormat.RGB8)


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a near-identity QuickSRNet Small: make_model(scale, quantised=True, noise=0.03).

    `pooled` gives it the naive head of 1.5x, `reach` hidden activations of up to that.
    """

    def make(
        scale: Fraction,
        *,
        quantised: bool = True,
        noise: float = 0.03,
        pooled: bool = False,
        reach: float = 1.0,
    ) -> Model:
        layers = [
            Convolution(
                weight=weight,
                bias=bias,
                weight_scale=np.abs(weight).max(axis=(1, 2, 3), initial=0.01) / np.float32(127),
                activation_scale=reach / 255,
            )
            for weight, bias in near_identity_weights(scale, noise=noise, pooled=pooled)
        ]
        layers[-1] = replace(layers[-1], activation_scale=1 / 255)
        write = quantised_graph if quantised else float_graph
        proto = write(layers, scale, pooled=pooled)
        card = example_card(scale, weights_sha256=weights_sha256(proto), quantised=quantised)
        attach_card(proto, card)
        path = tmp_path / f"{card.name}.onnx"
        onnx.save_model(proto, path)
        return Model(card=card, path=path)

    return make


@pytest.fixture
def make_comparison() -> MakeComparison:
    """Compare filters on cuts of the demo's game frame, 240x136 to 480x272: pictures and figures.

    make(folder, frames=2, methods=("bicubic", "nearest"), native=True) writes pictures/ there. Heat
    maps are of absolute differences, which are quicker than FLIP and serve the report as well.
    """

    def make(
        folder: Path,
        *,
        frames: int = 2,
        methods: tuple[str, ...] = ("bicubic", "nearest"),
        native: bool = True,
    ) -> Comparison:
        results = [_compared(folder, index, methods, native=native) for index in range(frames)]
        overall = {
            key: {
                measure: Bounds(mean=mean, low=mean - 0.5, high=mean + 0.5)
                for measure in ("psnr_db", "ssim")
                if native
                for mean in [_mean(results, key, measure)]
            }
            for key in methods
        }
        latency = {"input_size": "240x136", "output_size": "480x272", "rounds": 30}
        return Comparison(
            upscaler="1.2.3",
            made="2026-03-02T14:05:09+00:00",
            machine="A processor",
            threads=2,
            scale="2x",
            methods=[
                Method(
                    key=key,
                    name=key,
                    engine="opencv",
                    device="CPU: A processor",
                    emulated=False,
                    latency=Latency(p50_ms=at + 1.0, p95_ms=at + 1.5, least_ms=at + 0.5, **latency),
                    overall=overall[key],
                )
                for at, key in enumerate(methods)
            ],
            scenes=[Scene(name="arena", frames=frames, methods=overall)],
            frames=results,
            failures=[],
        )

    return make


def _compared(folder: Path, index: int, methods: tuple[str, ...], *, native: bool) -> FrameResult:
    size, upscaled = Size(240, 136), Size(480, 272)
    x, y = 300 + 40 * index, 200
    low = _clip("low")[y : y + 136, x : x + 240].copy()
    high = _clip("native")[2 * y : 2 * y + 272, 2 * x : 2 * x + 480].copy()
    pictures, maps, figures = {}, {}, {}
    (folder / "pictures" / str(index)).mkdir(parents=True, exist_ok=True)

    def written(name: str, picture: Frame) -> str:
        write_image(folder / "pictures" / str(index) / f"{name}.png", picture)
        return f"pictures/{index}/{name}.png"

    for key in methods:
        upscaler = make_filter(key, size, upscaled, PixelFormat.BGR8)
        result = np.empty(upscaler.output_shape, np.uint8)
        upscaler(low, result)
        pictures[key] = written(key, result)
        figures[key] = {}
        if native:
            figures[key] = {"psnr_db": psnr_db(result, high), "ssim": ssim_rgb(result, high)}
            error = np.abs(np.subtract(result, high, dtype=np.int16)).max(axis=2)
            heat = np.clip(4 * error, 0, 255).astype(np.uint8)
            # Red alone, so that a test can tell a heat map from a picture.
            maps[key] = written(f"flip_{key}", np.dstack([0 * heat, 0 * heat, 128 + heat // 2]))
    if native:
        pictures[NATIVE] = written(NATIVE, high)
    return FrameResult(
        name=f"arena/{index}",
        scene="arena",
        input_size=str(size),
        width=upscaled.width,
        height=upscaled.height,
        methods=figures,
        crops=[Crop(x=17, y=33, width=48, height=32), Crop(x=432, y=240, width=48, height=32)],
        pictures=pictures,
        flip_maps=maps,
    )


@cache
def _clip(name: str) -> Frame:
    return read_image(CLIP / f"{name}.webp")


def _mean(results: list[FrameResult], key: str, measure: str) -> float:
    return float(np.mean([frame.methods[key][measure] for frame in results]))
