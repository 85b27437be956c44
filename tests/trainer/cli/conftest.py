from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from trainer.cli.main import main

# Beside AIMET this module needs torch, which is what may be missing or broken on its own.
collect_ignore = [] if find_spec("torch") else ["test_quantise.py"]

RunCommand = Callable[..., subprocess.CompletedProcess[str]]

# As where the `train` extra is not installed: nothing called torch can be imported.
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from trainer.cli.main import main; main()"


@pytest.fixture
def run_trainer(tmp_path: Path) -> RunCommand:
    """Run `upscaler-train` as a process of its own, in a folder of its own."""

    def run(*arguments: str | Path, torch: bool = True) -> subprocess.CompletedProcess[str]:
        start = ["-m", "trainer"] if torch else ["-c", WITHOUT_TORCH]
        return subprocess.run(
            [sys.executable, *start, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            cwd=tmp_path,
        )

    return run


@pytest.fixture(scope="session")
def aimet_loaded() -> None:
    """AIMET, loaded while stderr is that of all tests.

    It closes the handlers of every log, and absl's, which OpenVINO and TensorBoard bring, then
    closes what it writes to, unless that is the stderr of the moment. In a test that captures one
    of its own it would be that of all tests.
    """
    if find_spec("torch") and find_spec("aimet_torch"):
        from trainer.aimet import equalise
        from trainer.network import Architecture, QuickSRNet

        equalise(QuickSRNet(Architecture(width=8, depth=1)))


@pytest.fixture
def train_here(
    aimet_loaded: None, call_here: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunCommand:
    """Run `upscaler-train` in this process, in a folder of its own."""
    assert aimet_loaded is None
    monkeypatch.chdir(tmp_path)
    return partial(call_here, main)


@pytest.fixture
def assert_refused(train_here: RunCommand) -> Callable[..., None]:
    """Run a command in this process; it must end with one sentence that holds all `parts`."""

    def check(arguments: Sequence[str | Path], *parts: str) -> None:
        done = train_here(*arguments)
        assert done.returncode == 2, done
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("upscaler-train: ")
        for part in parts:
            assert part in done.stderr

    return check
