"""How fast a machine trains, and how much of a step is the data path."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from trainer.train import LEVELS, Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Medians over the rounds of a measurement, in seconds: one step, and drawing its crops."""

    step_s: float
    draw_s: float

    @property
    def steps_per_second(self) -> float:
        """Rate of whole steps."""
        return 1.0 / self.step_s

    @property
    def network_share(self) -> float:
        """Share of a step that is forward, backward, optimiser and averaging."""
        return 1.0 - self.draw_s / self.step_s


def measure(trainer: Trainer, *, rounds: int, steps_per_round: int) -> Speed:
    """Train `rounds` times `steps_per_round` steps, and draw as many batches in between.

    What is drawn includes choosing the crops on the host and converting them to floats. The first
    round warms up and does not count.
    """
    device = trainer.processes.device

    def timed(work: Callable[[], object]) -> float:
        _wait(device)
        began = time.perf_counter()
        for _ in range(steps_per_round):
            work()
        _wait(device)
        return (time.perf_counter() - began) / steps_per_round

    def draw() -> None:
        batch = trainer.sampler.draw(trainer.done + drawn[0], trainer.recipe.batch)
        for each in batch:
            each.float().div_(LEVELS)
        drawn[0] += 1

    drawn = [0]
    times = [(timed(trainer.step), timed(draw)) for _ in range(rounds + 1)][1:]
    return Speed(step_s=median(step for step, _ in times), draw_s=median(draw for _, draw in times))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
