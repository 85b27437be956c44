"""The training loop: crops in, weights out; resumable, reproducible, readable in one sitting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path
from typing import Literal

import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor
from torch.nn import functional

from protocol.errors import BadRequestError
from trainer.checkpoint import read_checkpoint, write_checkpoint
from trainer.data import LoadedPair, PatchSampler
from trainer.network import Architecture, QuickSRNet

LOSSES = {"l1": functional.l1_loss, "mse": functional.mse_loss}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train. The learning rate falls from `rate` to a hundredth of it along a cosine.

    `average` is the decay of the exponential moving average of the weights, which is what is kept:
    it removes the noise of the last steps. `bfloat16` runs the network, not the loss or the
    optimiser, in bfloat16; the last `settle` steps run in float32 whatever it says.
    """

    iterations: int
    batch: int = 16
    patch: int = 64
    loss: Literal["l1", "mse"] = "mse"
    rate: float = 1e-3
    average: float = 0.999
    bfloat16: bool = False
    settle: int = 1000
    seed: int = 1
    architecture: Architecture = field(default_factory=Architecture)

    @property
    def summary(self) -> str:
        """One line for the model card."""
        return (
            f"{self.loss} loss, batches of {self.batch} crops of {self.patch}x{self.patch}, "
            f"Adam from {self.rate:g} along a cosine, averaged at {self.average:g}, "
            f"seed {self.seed}"
        )

    def rate_at(self, iteration: int) -> float:
        """Learning rate of one step."""
        warm = min(1.0, (iteration + 1) / 200)
        falling = 0.5 * (1.0 + cos(pi * iteration / self.iterations))
        return self.rate * warm * (0.01 + 0.99 * falling)


class Trainer:
    """State of a run: network, averaged network, optimiser, generator and the steps done."""

    def __init__(self, recipe: Recipe, pairs: list[LoadedPair]) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        self.network = QuickSRNet(recipe.architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = deepcopy(self.network).eval()
        self.optimiser = torch.optim.Adam(self.network.parameters(), recipe.rate, foreach=True)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.sampler = PatchSampler(
            pairs,
            scale=recipe.architecture.scale,
            patch=recipe.patch,
            generator=self.generator,
        )
        self.done = 0

    def step(self) -> float:
        """Train on one batch; return its loss."""
        recipe = self.recipe
        low, high = self.sampler.draw(recipe.batch)
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate_at(self.done)
        low = low.contiguous(memory_format=torch.channels_last)
        rounded = recipe.bfloat16 and self.done < recipe.iterations - recipe.settle
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            upscaled: Tensor = self.network(low)
        loss = LOSSES[recipe.loss](upscaled.float(), high)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._average()
        self.done += 1
        return loss.item()

    @torch.no_grad()
    def _average(self) -> None:
        # A young average would remember the initial weights for long.
        decay = min(self.recipe.average, (1 + self.done) / (10 + self.done))
        pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
        for averaged, current in pairs:
            averaged.lerp_(current, 1.0 - decay)

    def save(self, path: Path) -> None:
        """Write everything that a resumed run needs, atomically.

        Raises BadRequestError when the file cannot be written.
        """
        write_checkpoint(
            path,
            {
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "generator": self.generator.get_state(),
                "done": self.done,
            },
        )

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe, as if it had never stopped.

        Raises BadRequestError when the checkpoint is unreadable or belongs to another
        architecture.
        """
        state = read_checkpoint(path)
        try:
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
        except RuntimeError as error:
            msg = f"{path} holds a checkpoint of another architecture than the recipe's"
            raise BadRequestError(msg) from error
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.done = state["done"]


def run(
    trainer: Trainer,
    checkpoint: Path,
    *,
    save_every: int = 1000,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[float]:
    """Train to the end of the recipe; yield the mean loss after every `save_every` steps.

    Shows a progress bar, and writes `checkpoint` before each yield. `stop` is asked between steps;
    once it says yes, the state reached is saved and yielded, and the run ends early.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        total = trainer.recipe.iterations
        task = progress.add_task("training", total=total, completed=trainer.done)
        losses: list[float] = []
        stopped = False
        while trainer.done < total and not stopped:
            losses.append(trainer.step())
            progress.advance(task)
            stopped = stop()
            if stopped or trainer.done % save_every == 0 or trainer.done == total:
                trainer.save(checkpoint)
                mean = sum(losses) / len(losses)
                losses.clear()
                progress.update(task, description=f"training, loss {mean:.5f}")
                yield mean
