from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_transports_clients_and_what_is_left_are_printed() -> None:
    command = [sys.executable, "-m", "upscaler", "bench", "overhead", "--size", "64x36"]
    command += ["--method", "nearest", "--frames", "10", "--soak", "20", "--seconds", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    for words in ("nearest (opencv), shm", "nearest (opencv), inline", "two bare ZeroMQ sockets"):
        assert words in done.stdout
    ratio = next(line for line in done.stdout.splitlines() if "two over one" in line)
    assert float(ratio.split("│")[2]) > 0
    left = next(line for line in done.stdout.splitlines() if "segments when no client" in line)
    assert left.split("│")[4].strip() == "0"
