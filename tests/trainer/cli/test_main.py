from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def test_help_answers_without_torch(run_trainer: Callable) -> None:
    done = run_trainer("--help", torch=False)
    assert done.returncode == 0
    for command in ("prepare", "train", "quantise", "evaluate"):
        assert command in done.stdout


def test_missing_torch_says_what_to_install(run_trainer: Callable, tmp_path: Path) -> None:
    done = run_trainer("train", "--data", tmp_path, "--out", tmp_path, torch=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("upscaler-train: this command needs PyTorch")
    assert "pip install 'upscaler[train]'" in done.stderr
