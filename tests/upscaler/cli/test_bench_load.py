"""`upscaler bench load` on a tiny frame; what it measures is no business of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")


def bench_load(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upscaler", "bench", "load", "--rounds", "1", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "160"},
    )


def test_three_ways_to_start_are_timed() -> None:
    done = bench_load("--size", "64x32")
    assert done.returncode == 0, done.stderr
    for words in ("no cache", "cold cache", "warm cache", "x warm", "64x32 rgb8"):
        assert words in done.stdout


def test_a_start_that_fails_says_why(
    run_here: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_here("bench", "load", "--rounds", 1, "--model", "quicksrnet-small-x2-float")
    assert done.returncode == 2
    assert done.stderr.startswith("upscaler: the NPU runs quantised models only")
