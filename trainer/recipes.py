"""Recipes: how to train, as plain Python. What to train, an `Architecture`, stands beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, pi
from typing import Any, Literal, get_args

from protocol.errors import BadRequestError
from trainer.optimise import OptimiserName
from trainer.sampler import Weighting

Loss = Literal["l1", "mse"]
Schedule = Literal["cosine", "halving"]
Precision = Literal["float32", "tf32", "bfloat16"]

SMALL_DEPTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    `batch` crops, `patch` low-resolution pixels a side, make up a step, over all processes.
    `decay` times the rate is what Muon shrinks kernels by in a step.
    The schedule "cosine" lets the rate fall to a hundredth of `rate`; "halving" halves it after
    every one of `parts` equal parts. `warmup` steps lead up to it.
    `average` is the decay of the exponential moving average of the weights, which is what is kept,
    0 for none. `precision` is that of the network, never of loss or optimiser, and the last
    `settle` share of the steps runs in float32 whatever it says. TF32 exists on GPUs only.
    `graphed` replays a step on a GPU as one CUDA graph.
    `expand` is the width of the collapsible blocks (trainer/expand.py), 0 for none.
    `identity` starts from a nearest-neighbour upscaler (paper, section 3.2), `noise` scales the
    random part around it. `rounding` rounds hidden activations to the 256 levels that they are
    deployed with (trainer/rounding.py).
    """

    name: str
    iterations: int
    batch: int
    patch: int
    loss: Loss
    optimiser: OptimiserName
    rate: float
    decay: float = 0.0
    schedule: Schedule
    parts: int = 5
    warmup: int = 0
    average: float = 0.0
    precision: Precision = "float32"
    settle: float = 0.0
    graphed: bool = False
    expand: int = 0
    identity: bool = True
    noise: float = 1.0
    rounding: bool = False
    weighting: Weighting = "frames"
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.iterations, self.batch, self.patch, self.parts) < 1:
            msg = "a recipe needs at least one iteration, one crop and one pixel"
            raise BadRequestError(msg)
        if self.loss not in get_args(Loss):
            msg = f"unknown loss {self.loss!r}; choose one of {', '.join(get_args(Loss))}"
            raise BadRequestError(msg)
        if self.precision not in get_args(Precision):
            msg = f"unknown precision {self.precision!r}; choose {', '.join(get_args(Precision))}"
            raise BadRequestError(msg)

    @property
    def summary(self) -> str:
        """One line for the model card."""
        fall = "along a cosine" if self.schedule == "cosine" else f"in {self.parts} halving parts"
        parts = [
            f"{self.loss} loss",
            f"batches of {self.batch} crops of {self.patch}x{self.patch}",
            f"{self.optimiser} from {self.rate:g} {fall}",
            f"decay {self.decay:g}" if self.decay else "",
            f"averaged at {self.average:g}" if self.average else "not averaged",
            self.precision,
            f"over-parameterised to {self.expand}" if self.expand else "",
            "activations rounded" if self.rounding else "",
            f"identity with noise {self.noise:g}" if self.identity else "without identity",
            f"seed {self.seed}",
        ]
        return ", ".join(part for part in parts if part)

    def rate_at(self, iteration: int) -> float:
        """Learning rate of one step."""
        warm = min(1.0, (iteration + 1) / self.warmup) if self.warmup else 1.0
        progress = iteration / self.iterations
        if self.schedule == "cosine":
            falling = 0.01 + 0.99 * 0.5 * (1.0 + cos(pi * progress))
        else:
            falling = 0.5 ** int(self.parts * progress)
        return self.rate * warm * falling

    def settled_at(self, iteration: int) -> bool:
        """Whether a step runs in float32 whatever the precision."""
        return iteration >= self.iterations * (1.0 - self.settle)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        # The paper's (section 4): halved every 200k of 1M iterations.
        Recipe(
            name="paper",
            iterations=1_000_000,
            batch=32,
            patch=64,
            loss="l1",
            optimiser="adam",
            rate=5e-4,
            schedule="halving",
            parts=5,
        ),
        # What the shipped weights were trained with, and why: docs/training.md.
        Recipe(
            name="fast",
            iterations=30_000,
            batch=8,
            patch=64,
            loss="mse",
            optimiser="muon",
            rate=1e-2,
            decay=0.1,
            schedule="cosine",
            warmup=200,
            average=0.999,
            precision="bfloat16",
            settle=0.05,
            graphed=True,
            noise=0.3,
            rounding=True,
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises BadRequestError when there is none.
    """
    if name not in RECIPES:
        msg = f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}"
        raise BadRequestError(msg)
    return RECIPES[name]


def fitted(recipe: Recipe, depth: int) -> Recipe:
    """Return the recipe for a network of `depth`: Muon's rate is meant for Small, of depth 2.

    All of its steps have the same size, and their effects add up from layer to layer: at Small's
    rate Medium stays behind bicubic until the cosine has brought it down to a third.
    """
    if recipe.optimiser != "muon" or depth <= SMALL_DEPTH:
        return recipe
    return replace(recipe, rate=recipe.rate * SMALL_DEPTH / depth)


def varied(recipe: Recipe, **changes: Any) -> Recipe:
    """Return the recipe with those fields changed that are not None.

    Raises BadRequestError for a value that no recipe can have.
    """
    return replace(recipe, **{name: value for name, value in changes.items() if value is not None})
