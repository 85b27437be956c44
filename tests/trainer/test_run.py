from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from protocol.errors import BadRequestError
from trainer.checkpoint import load_checkpoint
from trainer.network import Architecture
from trainer.recipes import RECIPES
from trainer.run import run
from trainer.store import Store
from trainer.train import Trainer, resume
from upscaler.images import read_image

SMALLEST = Architecture(width=8, depth=1)
TINY = replace(RECIPES["fast"], iterations=10, batch=4, patch=16, warmup=0, precision="float32")


@pytest.fixture
def trainer(store_x2: Path) -> Trainer:
    return Trainer(TINY, SMALLEST, Store(store_x2))


def test_a_run_saves_before_it_reports(trainer: Trainer, tmp_path: Path) -> None:
    seen = []
    for report in run(trainer, tmp_path, report_every=4):
        saved = load_checkpoint(tmp_path / "checkpoint.pt")
        assert saved.done == report.done == trainer.done
        assert report.loss > 0
        assert report.validation_db is not None
        assert report.validation_db > 10
        seen.append(report.done)
    assert seen == [4, 8, 10]


def test_the_best_state_on_validation_frames_is_kept(trainer: Trainer, tmp_path: Path) -> None:
    reports = list(run(trainer, tmp_path, report_every=2))
    best = max(reports, key=lambda report: report.validation_db or 0)
    assert load_checkpoint(tmp_path / "best.pt").done == best.done
    assert best.best


def test_a_resumed_run_does_not_overwrite_a_better_state(trainer: Trainer, tmp_path: Path) -> None:
    before = list(run(trainer, tmp_path, report_every=2, stop=lambda: trainer.done >= 6))
    best = max(report.validation_db or 0 for report in before)
    resumed = resume(tmp_path / "checkpoint.pt", trainer.store)
    for report in run(resumed, tmp_path, report_every=2):
        assert report.best == ((report.validation_db or 0) > best)
        best = max(best, report.validation_db or 0)


def test_it_leaves_logs_and_a_picture(trainer: Trainer, tmp_path: Path) -> None:
    list(run(trainer, tmp_path, report_every=5))
    assert list((tmp_path / "tensorboard").glob("events*"))
    picture = read_image(tmp_path / "validation.png")
    assert picture.shape[1] == 4 * 2 * 96  # low, bicubic, network, native


def test_a_stopped_run_saves_the_step_it_reached(trainer: Trainer, tmp_path: Path) -> None:
    reports = list(run(trainer, tmp_path, stop=lambda: trainer.done >= 3))
    assert [report.done for report in reports] == [3]
    assert resume(tmp_path / "checkpoint.pt", trainer.store).done == 3


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_state(
    trainer: Trainer, tmp_path: Path
) -> None:
    reports = run(trainer, tmp_path, report_every=4)
    next(reports)
    with torch.no_grad():
        trainer.network.conv_last.weight.fill_(torch.nan)
    with pytest.raises(BadRequestError, match=r"no number any more at step 8.*keeps the last"):
        next(reports)
    assert load_checkpoint(tmp_path / "checkpoint.pt").done == 4


def test_a_folder_that_cannot_be_made_is_named(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadRequestError, match=r"cannot write .*file"):
        next(run(trainer, tmp_path / "file"))
