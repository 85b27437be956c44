from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
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


@pytest.fixture
def assert_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Run a command in this process; it must end with one sentence that holds all `parts`.

    In this process, since starting torch for every error would take minutes.
    """
    monkeypatch.chdir(tmp_path)

    def check(arguments: Sequence[str | Path], *parts: str) -> None:
        with pytest.raises(SystemExit) as exited:
            main([str(each) for each in arguments])
        said = capsys.readouterr()
        assert exited.value.code == 2, said
        assert said.out == ""
        assert said.err.count("\n") == 1, said.err
        assert said.err.startswith("upscaler-train: ")
        for part in parts:
            assert part in said.err

    return check
