"""The training loop: crops in, weights out; resumable, reproducible, readable in one sitting."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
        loss.backward()
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
        """Write everything that a resumed run needs, atomically: a kill leaves the last good one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "done": self.done,
        }
        torch.save(state, draft)
        os.replace(draft, path)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe.

        Raises BadRequestError when the checkpoint belongs to another architecture.
        """
        state = torch.load(path, weights_only=True)
        try:
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
        except (RuntimeError, KeyError) as error:
            msg = f"{path} holds a checkpoint of another architecture than the recipe's"
            raise BadRequestError(msg) from error
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.done = state["done"]


def run(trainer: Trainer, checkpoint: Path, *, save_every: int = 1000) -> Iterator[float]:
    """Train to the end of the recipe; yield the mean loss after every `save_every` steps.

    Shows a progress bar, and writes `checkpoint` before each yield.
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
        while trainer.done < total:
            losses.append(trainer.step())
            progress.advance(task)
            if trainer.done % save_every == 0 or trainer.done == total:
                trainer.save(checkpoint)
                mean = sum(losses) / len(losses)
                losses.clear()
                progress.update(task, description=f"training, loss {mean:.5f}")
                yield mean
