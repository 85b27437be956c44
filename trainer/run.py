"""A whole run: steps until the recipe ends, with progress, logs, validation and checkpoints.

Left in the run's folder: `checkpoint.pt`, the state to go on from; `best.pt`, the state with the
best PSNR on the validation scenes; `tensorboard/`; and `validation.png`, what there is to see.
"""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from protocol.errors import BadRequestError, EngineError
from trainer.network import QuickSRNet
from trainer.store import FramePair
from trainer.train import LEVELS, Trainer
from upscaler.console import progress
from upscaler.contract import Frame
from upscaler.images import write_image
from upscaler.metrics import psnr_db

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CHECKPOINT, BEST, LOGS, PICTURE = "checkpoint.pt", "best.pt", "tensorboard", "validation.png"
VALIDATION = "validation"
CHECK_EVERY = 20
"""Steps between two looks at the loss and at the wish to stop: each waits for the device."""
TRIM_EVERY = 100
CUT = 160
"""Low-resolution pixels a side of the pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Where a run stands. `loss` is the mean since the last report, over all processes.

    `validation_db` is the mean RGB PSNR of the averaged network over the validation frames, None
    where the store has none; `best` says whether it is the best so far.
    """

    done: int
    loss: float
    validation_db: float | None
    best: bool
    steps_per_second: float


def run(
    trainer: Trainer,
    folder: Path,
    *,
    report_every: int = 1000,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Report]:
    """Train to the end of the recipe; yield a report after every `report_every` steps.

    The checkpoint is written before each report, by the leading process alone. `stop` is asked
    between steps; once it says yes, the state reached is saved and reported, and the run ends.

    Raises BadRequestError when the loss is no number any more, or a file cannot be written; the
    last good checkpoint is left.
    """
    leads, total = trainer.processes.leads, trainer.recipe.iterations
    with ExitStack() as stack:
        log = stack.enter_context(_logs(folder, trainer.done)) if leads else None
        bar = stack.enter_context(progress(transient=False)) if leads else None
        task = bar.add_task("training", total=total, completed=trainer.done) if bar else None
        judge = _Judge(trainer, folder)
        losses = torch.zeros((), device=trainer.processes.device)
        since, began = trainer.done, time.perf_counter()
        stopped = False
        while trainer.done < total and not stopped:
            losses += trainer.step()
            due = trainer.done % report_every == 0 or trainer.done == total
            if trainer.done % CHECK_EVERY and not due and not _hurried(trainer, stop):
                continue
            _return_memory(trainer)
            stopped = trainer.processes.any(flag=stop())
            _check(losses, trainer, folder)
            if bar is not None and task is not None:
                bar.update(task, completed=trainer.done)
            if not (due or stopped):
                continue
            taken = time.perf_counter() - began
            report = judge.report(losses / (trainer.done - since), (trainer.done - since) / taken)
            if log is not None:
                _write_scalars(log, trainer, report)
            if bar is not None and task is not None:
                bar.update(task, description=f"training, loss {report.loss:.5f}")
            yield report
            losses.zero_()
            since, began = trainer.done, time.perf_counter()
        if leads:
            judge.draw()


class _Judge:
    """Measures the averaged network, and keeps the checkpoints."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self._trainer, self._folder = trainer, folder
        store = trainer.store
        self._frames = store.pairs(VALIDATION) if store.entries(VALIDATION) else []
        # A resumed run must not overwrite a better state of before.
        best = folder / BEST
        self._best_db = -math.inf
        if trainer.done and best.exists() and self._frames:
            from trainer.checkpoint import load_checkpoint

            self._best_db = self._measure(load_checkpoint(best).network.to(self._device))

    def report(self, loss: Tensor, steps_per_second: float) -> Report:
        """Measure, and write the checkpoints."""
        trainer = self._trainer
        mean = trainer.processes.mean(float(loss))
        measured, best = None, False
        if trainer.processes.leads:
            trainer.save(self._folder / CHECKPOINT)
            if self._frames:
                measured = self._measure(trainer.averaged)
                best = measured > self._best_db
            if best and measured is not None:
                self._best_db = measured
                trainer.save(self._folder / BEST)
        trainer.processes.wait()
        return Report(
            done=trainer.done,
            loss=mean,
            validation_db=measured,
            best=best,
            steps_per_second=steps_per_second,
        )

    def draw(self) -> None:
        """Write a picture of validation crops: low, bicubic, network, native, side by side."""
        if self._frames:
            rows = [self._row(pair) for pair in self._frames[:: max(1, len(self._frames) // 4)][:4]]
            write_image(self._folder / PICTURE, np.concatenate(rows)[:, :, ::-1])

    @property
    def _device(self) -> torch.device:
        return self._trainer.processes.device

    def _measure(self, network: QuickSRNet) -> float:
        scores = [psnr_db(self._upscaled(network, pair.low), pair.high) for pair in self._frames]
        return float(np.mean(scores))

    @torch.no_grad()
    def _upscaled(self, network: QuickSRNet, low: Frame) -> Frame:
        planes = torch.from_numpy(low.copy()).to(self._device).permute(2, 0, 1)[None]
        upscaled = (network(planes.float() / LEVELS)[0] * LEVELS).round().to(torch.uint8)
        frame: Frame = upscaled.permute(1, 2, 0).contiguous().cpu().numpy()
        return frame

    def _row(self, pair: FramePair) -> Frame:
        import cv2

        scale = self._trainer.architecture.scale
        block = self._trainer.architecture.size_multiple
        height, width = (min(CUT, side // block * block) for side in pair.low.shape[:2])
        top, left = (
            (side - cut) // 2 // block * block
            for side, cut in zip(pair.low.shape, (height, width), strict=False)
        )
        low = np.ascontiguousarray(pair.low[top : top + height, left : left + width])
        size = int(width * scale), int(height * scale)
        native = pair.high[int(top * scale) :, int(left * scale) :][: size[1], : size[0]]
        parts: list[Frame] = [
            cv2.resize(low, size, interpolation=cv2.INTER_NEAREST),
            cv2.resize(low, size, interpolation=cv2.INTER_CUBIC),
            self._upscaled(self._trainer.averaged, low),
            native,
        ]
        return np.concatenate(parts, axis=1)


def _hurried(trainer: Trainer, stop: Callable[[], bool]) -> bool:
    """Whether to look at once: alone there is nobody to agree with, and asking costs nothing."""
    return trainer.processes.count == 1 and stop()


def _return_memory(trainer: Trainer) -> None:
    """Give what malloc has freed back to the system.

    Before 2.38 glibc seldom reuses aligned memory that was freed (bug 14581), and every tensor is
    aligned: a run of QuickSRNet-Medium grew by 3 MB a step, to 24 GB.
    """
    on_cpu = trainer.processes.device.type == "cpu"
    if on_cpu and trainer.done % TRIM_EVERY == 0 and sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def _check(losses: Tensor, trainer: Trainer, folder: Path) -> None:
    if trainer.processes.any(flag=not math.isfinite(float(losses))):
        saved = folder / CHECKPOINT
        kept = f"{saved} keeps the last good state" if saved.exists() else "nothing was saved yet"
        msg = (
            f"the loss is no number any more at step {trainer.done}; lower the learning rate "
            f"({trainer.recipe.rate:g}) or train in float32; {kept}"
        )
        raise BadRequestError(msg)


def _logs(folder: Path, done: int) -> SummaryWriter:
    """Open the TensorBoard log; what a killed run wrote after its checkpoint is purged."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        msg = f"training logs need TensorBoard ({error}); pip install 'upscaler[train]'"
        raise EngineError(msg) from error
    try:
        return SummaryWriter(str(folder / LOGS), purge_step=done)
    except OSError as error:
        msg = f"cannot write {folder / LOGS}: {error.strerror or error}"
        raise BadRequestError(msg) from error


def _write_scalars(log: SummaryWriter, trainer: Trainer, report: Report) -> None:
    scalars = {
        "loss": report.loss,
        "rate": trainer.recipe.rate_at(report.done - 1),
        "steps per second": report.steps_per_second,
    }
    if report.validation_db is not None:
        scalars["validation PSNR, dB"] = report.validation_db
    for name, value in scalars.items():
        log.add_scalar(name, value, report.done)
    log.flush()
