"""`upscaler cache` as users meet it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.images import read_image, write_image

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")


def upscaler(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upscaler", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "UPSCALER_CACHE_DIR": str(folder), "COLUMNS": "200"},
    )


def test_what_runs_on_the_npu_is_kept_listed_and_cleared(
    run_here: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder, frame = tmp_path / "cache", tmp_path / "frame.png"
    monkeypatch.setenv("UPSCALER_CACHE_DIR", str(folder))
    write_image(frame, game_frame(Size(40, 24), PixelFormat.BGR8))
    image = ["image", frame, "--engine", "npu"]

    assert run_here(*image, tmp_path / "uncached.png", "--no-cache").returncode == 0
    assert not folder.exists()
    listed = run_here("cache", "list")
    assert (listed.returncode, listed.stdout) == (0, f"0 contexts, 0.0 MiB in {folder}/contexts\n")

    for name in ("cold.png", "warm.png"):  # a process each, of which one has what another kept
        done = upscaler(folder, *image, tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert (read_image(tmp_path / name) == read_image(tmp_path / "uncached.png")).all()
    (kept,) = (folder / "contexts").iterdir()
    listed = run_here("cache", "list").stdout
    assert f"1 context, 0.1 MiB in {folder}/contexts" in listed
    (line,) = [line for line in listed.splitlines() if "quicksrnet-small-x2" in line]
    for word in ("40x24", "bgr8", "whole"):
        assert word in line

    (kept / "context_qnn.bin").write_bytes(b"")
    assert "is damaged or another" in run_here("cache", "list").stdout

    (folder / "contexts" / "mine").touch()
    cleared = run_here("cache", "clear")
    assert cleared.returncode == 0
    assert cleared.stdout.startswith("removed 1 context, ")
    assert [each.name for each in (folder / "contexts").iterdir()] == ["mine"]
