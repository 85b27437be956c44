from __future__ import annotations

import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from upscaler.models.library import open_model

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is missing")
needs_aimet = pytest.mark.skipif(find_spec("aimet_torch") is None, reason="AIMET is missing")

# As where the `train` extra is not installed: nothing called torch can be imported.
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from trainer.cli import main; main()"


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainer.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
    )


def run_without_torch(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def assert_one_line(stdout: str, stderr: str, *parts: str) -> None:
    assert stdout == ""
    assert stderr.count("\n") == 1
    assert stderr.startswith("upscaler-train: ")
    for part in parts:
        assert part in stderr


def test_help_answers_without_torch() -> None:
    result = run_without_torch("--help")
    assert result.returncode == 0
    for command in ("train", "quantise", "evaluate"):
        assert command in result.stdout


def test_missing_torch_says_what_to_install(tmp_path: Path) -> None:
    result = run_without_torch("train", "--data", tmp_path, "--out", tmp_path)
    assert result.returncode == 2
    assert_one_line(result.stdout, result.stderr, "needs PyTorch", "pip install 'upscaler[train]'")


@needs_torch
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "--recipe", "huge"], ["unknown recipe 'huge'; choose one of small-x2"]),
        (["train", "--data", "."], ["manifest.json"]),
        (["train", "--resume"], ["cannot read the checkpoint", "checkpoint.pt"]),
        (["quantise", "--checkpoint", "absent.pt"], ["cannot read", "absent.pt"]),
        (["evaluate", "--model", "dlss"], ["unknown model 'dlss'"]),
        (["evaluate", "--model", "absent.onnx"], ["no model file absent.onnx"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_errors_are_one_line(
    frames: Path,
    tmp_path: Path,
    *,
    arguments: list[str],
    parts: list[str],
) -> None:
    data = [] if "--data" in arguments else ["--data", str(frames)]
    out = [] if "evaluate" in arguments else ["--out", str(tmp_path)]
    done = run(*arguments, *data, *out, cwd=tmp_path)
    assert done.returncode == 2
    assert_one_line(done.stdout, done.stderr, *parts)


@needs_torch
def test_training_does_not_overwrite_a_checkpoint(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"precious")
    done = run("train", "--data", frames, "--out", tmp_path)
    assert done.returncode == 2
    assert_one_line(done.stdout, done.stderr, "checkpoint.pt exists; add --resume")
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"precious"


@needs_aimet
def test_from_frames_to_a_measured_int8_model(frames: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    trained = run("train", "--data", frames, "--out", tmp_path, "--iterations", "2")
    assert trained.returncode == 0, trained.stderr
    assert checkpoint.is_file()
    quantise = ("quantise", "--checkpoint", checkpoint, "--adaround-iterations", "3")
    quantised = run(*quantise, "--data", frames, "--out", tmp_path)
    assert quantised.returncode == 0, quantised.stderr
    for word in ("bicubic", "float", "int8", "boards", "slopes", "dB below float"):
        assert word in quantised.stdout
    card = open_model(tmp_path / "quicksrnet-small-x2.onnx").card
    assert "AdaRound, 3 iterations" in card.quantisation
    assert "recipe small-x2, 2 iterations" in card.training
    assert card.data == "6 pairs of native renders: boards (CC0-1.0), slopes (CC0-1.0)"
    float_model = tmp_path / "quicksrnet-small-x2-float.onnx"
    evaluated = run("evaluate", "--model", float_model, "--data", frames)
    assert evaluated.returncode == 0, evaluated.stderr
    assert f"{open_model(float_model).card.psnr_db['mean']:.3f}" in evaluated.stdout


@needs_torch
def test_an_interrupt_saves_the_checkpoint(frames: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "trainer.cli", "train", "--threads", "1"]
    with subprocess.Popen(
        [*command, "--data", str(frames), "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "small-x2: 60000 iterations on 6 pairs" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        stderr = process.stderr.read()
        assert process.wait(60) == 130
    assert_one_line("", stderr, "interrupted after", "checkpoint.pt is saved, go on with --resume")
    assert (tmp_path / "checkpoint.pt").is_file()
