"""`upscaler.h`: what compilers and sanitizers say of it, and a game in C against a real service.

Clang is used where there is one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.filters.library import make_filter
from upscaler.service.process import ServiceProcess

HERE = Path(__file__).parent
C = HERE.parents[1] / "protocol" / "c"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wshadow", "-Wconversion")
SANITIZED = ("-std=c99", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LANGUAGES = {
    "gcc": ("gcc", "-xc", "-std=c99"),
    "gcc-c11": ("gcc", "-xc", "-std=c11"),
    "g++": ("g++", "-xc++", "-std=c++17"),
    "clang": ("clang", "-xc", "-std=c99"),
    "clang-c11": ("clang", "-xc", "-std=c11"),
    "clang++": ("clang++", "-xc++", "-std=c++17"),
}
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def zeromq(c_flags: Callable[..., list[str]]) -> list[str]:
    """What the compiler takes to build with ZeroMQ."""
    return c_flags("libzmq")


def build(zeromq: list[str], target: Path, *sources: Path, flags: tuple[str, ...] = ()) -> Path:
    command = ["cc", *SANITIZED, *WARNINGS, *flags, "-I", str(C), *map(str, sources)]
    built = subprocess.run(
        [*command, "-o", str(target), *zeromq], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return target


@pytest.fixture(scope="session")
def c_client(zeromq: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program c_client.c, with every sanitizer that finds what C programs do wrong."""
    target = tmp_path_factory.mktemp("c") / "c_client"
    return str(build(zeromq, target, HERE / "c_client.c", HERE / "c_misuse.c"))


def passes(*command: str, given: bytes | None = None) -> bytes:
    """Run a program, which says nothing unless something is wrong; return what it printed."""
    done = subprocess.run(
        command, input=given, capture_output=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    return done.stdout


def test_the_header_is_short() -> None:
    assert len((C / "upscaler.h").read_text().splitlines()) < 1500


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("zeromq")
def test_no_compiler_warns(language: str, tmp_path: Path) -> None:
    command = LANGUAGES[language]
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]} on this machine")
    source = tmp_path / "implementation.c"
    # Twice: a game that includes it everywhere does so before and after its implementation.
    source.write_text('#define UPSCALER_IMPLEMENTATION\n#include "upscaler.h"\n' * 2)
    optimised = ("-O2", "-c", "-I", str(C), "-o", os.devnull, str(source))
    done = subprocess.run(
        [*command, *WARNINGS, *optimised], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("transport", ["shm", "inline"])
@pytest.mark.parametrize("scenario", ["formats", "signals", "wrong", "refused"])
def test_a_game_in_c(c_client: str, service: ServiceProcess, scenario: str, transport: str) -> None:
    assert passes(c_client, scenario, service.endpoint, transport) == b""


@pytest.mark.parametrize("transport", ["shm", "inline"])
@pytest.mark.parametrize("method", ["nearest", "bicubic", "fsr1"])
def test_results_are_those_of_the_filters(
    c_client: str, service: ServiceProcess, method: str, transport: str
) -> None:
    size = Size(46, 34)
    frame = np.random.default_rng(5).integers(0, 256, (34, 46, 4), np.uint8)
    upscaler = make_filter(method, size, Size(92, 68), PixelFormat.RGBA8)
    wanted = np.empty(upscaler.output_shape, np.uint8)
    upscaler(frame, wanted)
    command = [c_client, "upscale", service.endpoint, transport, method, "46", "34"]
    got = np.frombuffer(passes(*command, given=frame.tobytes()), np.uint8)
    assert np.array_equal(got.reshape(wanted.shape), wanted)


def test_the_example_prints_its_stages(
    zeromq: list[str], service: ServiceProcess, tmp_path: Path
) -> None:
    source = HERE.parents[1] / "examples" / "c" / "latency.c"
    program = str(build(zeromq, tmp_path / "latency", source))
    said = passes(program, service.endpoint, "nearest", "shm", "64x36", "20", "500").decode()
    assert re.match(r"nearest on .*, shared memory, to 128x72: 20 frames at \d+\.\d fps\n", said)
    shown = [line.split() for line in said.splitlines()[2:]]
    assert [name for name, *_ in shown[-2:]] == ["total", "overhead"]
    assert all(float(p50) <= float(p95) <= float(p99) for _, p50, p95, p99 in shown)


def test_a_service_that_is_killed_comes_back_and_ends(c_client: str, tmp_path: Path) -> None:
    bind = f"ipc://{tmp_path}/upscaler"
    games = [
        subprocess.Popen(
            [c_client, "lost", bind, transport],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for transport in ("shm", "inline")
    ]

    def wait_for(word: str) -> None:
        for game in games:
            assert game.stdout is not None
            assert game.stdout.readline() == f"{word}\n", game.communicate("")

    def go_on() -> None:
        for game in games:
            print("go on", file=game.stdin, flush=True)

    wait_for("start")
    with ServiceProcess(["--method", "nearest"], bind=bind) as service:
        go_on()
        wait_for("stop")
        service.pause()  # so that no frame comes back
        go_on()
        wait_for("kill")
        service.send_signal(signal.SIGKILL)
        go_on()
        wait_for("start")
        service.close()
    with ServiceProcess(["--method", "nearest"], bind=bind) as service:
        go_on()
        wait_for("end")
        service.send_signal(signal.SIGTERM)
        service.close()
        go_on()
        for game in games:
            _, errors = game.communicate(timeout=PATIENCE_S)
            assert (game.returncode, errors) == (0, "")


def test_any_reply_is_survived(zeromq: list[str], tmp_path: Path) -> None:
    """The fuzzer's seeds, and each of them cut and with bytes changed."""
    seeds = tmp_path / "seeds"
    subprocess.run([sys.executable, str(HERE / "fuzz_seeds.py"), str(seeds)], check=True)
    random = np.random.default_rng(7)
    files = sorted(seeds.iterdir())
    for file in files:
        for n in range(8):
            changed = np.frombuffer(file.read_bytes(), np.uint8).copy()
            at = random.integers(0, len(changed), 1 + 2 * n)
            changed[at] = random.integers(0, 256, len(at), np.uint8)
            changed[: random.integers(1, len(changed))].tofile(
                file.with_name(f"{file.name}-cut{n}")
            )
            changed.tofile(file.with_name(f"{file.name}-{n}"))
    program = build(
        zeromq, tmp_path / "fuzz", C / "fuzz_replies.c", flags=("-DFUZZ_FILES", "-Wno-conversion")
    )
    said = passes(str(program), *map(str, sorted(seeds.iterdir())))
    assert re.fullmatch(rb"(\d+) inputs\n", said)
    assert int(said.split()[0]) == 17 * len(files) == 17 * 7 * 16
