from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

if not find_spec("torch"):
    pytest.skip("torch is missing", allow_module_level=True)

import torch

from trainer.checkpoint import load_checkpoint

TINY = ["--architecture", "f8-m1", "--batch", "2", "--patch", "16", "--threads", "1"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--recipe", "huge"], ["unknown recipe 'huge'; choose one of paper, fast"]),
        (["--architecture", "huge"], ["unknown architecture 'huge'; choose small"]),
        (["--head", "huge"], ["unknown head 'huge'; choose space-to-depth or pooled"]),
        (["--head", "pooled"], ["the pooled head is for 1.5x"]),
        (["--loss", "vgg"], ["unknown loss 'vgg'; choose one of l1, mse"]),
        (["--device", "npu"], ["unknown device 'npu'"]),
        (["--data", "."], ["no prepared store", "upscaler-train prepare"]),
        (["--resume"], ["cannot read the checkpoint", "checkpoint.pt"]),
        (["--from", "absent.pt"], ["cannot read the checkpoint absent.pt"]),
        (["--from", "dlss"], ["unknown model 'dlss'"]),
        (["--from", "quicksrnet-small-x2"], ["is quantised; name its float original"]),
        (
            ["--from", "quicksrnet-small-x2-float", "--architecture", "f32-m1"],
            ["those of small, another architecture than f32-m1"],
        ),
        (["--patch", "400"], ["smaller than the training patch of 400"]),
    ],
    ids=lambda value: "-".join(value) if value[0].startswith("--") else "",
)
def test_errors_are_one_line(
    assert_refused: Callable, store_x2: Path, *, arguments: list[str], parts: list[str]
) -> None:
    data = [] if "--data" in arguments else ["--data", store_x2]
    assert_refused(["train", *arguments, *data, "--out", "run"], *parts)


def test_a_run_from_start_to_end(
    train_here: Callable,
    assert_refused: Callable,
    store_x2: Path,
    tmp_path: Path,
) -> None:
    options = [*TINY, "--iterations", "6", "--report-every", "3", "--out", "run"]
    done = train_here("train", "--data", store_x2, *options)
    assert done.returncode == 0, done.stderr
    assert "f8-m1 2x, recipe fast: 6 iterations on 4 pairs, 2 held out" in done.stdout
    assert done.stdout.count("validation") >= 3
    for name in ("checkpoint.pt", "best.pt", "validation.png", "tensorboard"):
        assert (tmp_path / "run" / name).exists()
    assert_refused(["train", "--data", store_x2, *options], "checkpoint.pt exists; add --resume")
    tuned = train_here("train", "--data", store_x2, *options[:-1], "tuned", "--from", "run/best.pt")
    assert tuned.returncode == 0, tuned.stderr
    training = load_checkpoint(tmp_path / "tuned" / "checkpoint.pt").training
    assert "from quicksrnet-f8-m1-x2-float (fast, " in training


def test_ablations_and_the_pooled_head(
    train_here: Callable, store_x15: Path, tmp_path: Path
) -> None:
    flags = ["--head", "pooled", "--no-identity", "--no-relu1", "--residual", "--expand", "16"]
    done = train_here(
        "train", "--data", store_x15, *TINY, *flags, "--iterations", "2", "--out", "run"
    )
    assert done.returncode == 0, done.stderr
    trained = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert trained.network.architecture.variants == ["pooled", "relu", "residual"]
    assert not trained.recipe.identity
    assert trained.recipe.expand == 16


def start(store: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "trainer", "train", "--data", str(store), *TINY]
    return subprocess.Popen(
        [*command, "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_interrupt_saves_the_checkpoint(store_x2: Path, tmp_path: Path) -> None:
    with start(store_x2, tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "f8-m1 2x, recipe fast: 30000 iterations" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        stderr = process.stderr.read()
        assert process.wait(60) == 130
    assert stderr.startswith("upscaler-train: interrupted after")
    assert "checkpoint.pt is saved, go on with --resume" in stderr
    assert (tmp_path / "checkpoint.pt").is_file()


def test_a_killed_run_goes_on_exactly(train_here: Callable, store_x2: Path, tmp_path: Path) -> None:
    options = ["--iterations", "100", "--report-every", "10"]
    with start(store_x2, tmp_path / "killed", *options) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "killed" / "checkpoint.pt").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.kill()
    assert load_checkpoint(tmp_path / "killed" / "checkpoint.pt").done < 100
    resumed = train_here(
        "train", "--data", store_x2, "--out", "killed", "--resume", "--threads", "1"
    )
    assert resumed.returncode == 0, resumed.stderr
    straight = train_here("train", "--data", store_x2, *TINY, *options, "--out", "straight")
    assert straight.returncode == 0, straight.stderr
    one, other = (
        load_checkpoint(tmp_path / name / "checkpoint.pt").network.state_dict()
        for name in ("killed", "straight")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
