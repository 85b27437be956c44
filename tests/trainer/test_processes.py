from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from protocol.errors import BadRequestError
from trainer.checkpoint import load_checkpoint
from trainer.cli.main import main
from trainer.processes import alone, joined

OPTIONS = ["--iterations", "6", "--batch", "4", "--patch", "16", "--report-every", "3"]
OPTIONS += ["--architecture", "f8-m1", "--recipe", "paper", "--device", "cpu", "--threads", "1"]


def losses_of(done: subprocess.CompletedProcess[str]) -> list[float]:
    assert done.returncode == 0, done.stderr
    return [float(loss) for loss in re.findall(r"iterations, loss ([\d.]+)", done.stdout)]


@pytest.mark.slow
def test_two_processes_give_the_loss_of_one(
    call_here: Callable[..., subprocess.CompletedProcess[str]], store_x2: Path, tmp_path: Path
) -> None:
    options = ["train", "--data", str(store_x2), *OPTIONS, "--out"]
    one = losses_of(call_here(main, *options, tmp_path / "one"))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = losses_of(
        subprocess.run(
            [*torchrun, "-m", "trainer", *options, str(tmp_path / "two")],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
    )
    assert len(one) == 2
    assert two == pytest.approx(one, rel=1e-5)
    weights = [
        load_checkpoint(tmp_path / name / "checkpoint.pt").network.state_dict()
        for name in ("one", "two")
    ]
    for name, weight in weights[0].items():
        assert torch.allclose(weight, weights[1][name], atol=1e-6)


def test_alone_there_is_nobody_to_agree_with() -> None:
    processes = alone()
    assert processes.leads
    assert processes.any(flag=True)
    assert not processes.any(flag=False)
    assert processes.mean(2.5) == 2.5


def test_without_torchrun_a_process_is_alone() -> None:
    with joined("cpu") as processes:
        assert (processes.rank, processes.count, processes.device.type) == (0, 1, "cpu")


@pytest.mark.parametrize("device", ["npu", "cuda"])
def test_a_missing_device_is_one_sentence(device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BadRequestError, match=r"unknown device 'npu'|no GPU"), joined(device):
        pass
