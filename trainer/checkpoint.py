"""Checkpoint files: everything a resumed run needs, and the network that a run left.

A file is a dictionary of plain values and tensors that torch loads without running code:

- "format", and "architecture", "recipe" and "data": what is trained, how and on what;
- "origin", where there is one: what the weights were at the start;
- "averaged": weights of the plain network that is kept, the moving average of those trained;
- "network", "optimisers", "done": state of the run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from protocol.errors import BadRequestError
from trainer.network import Architecture, QuickSRNet
from trainer.recipes import Recipe

FORMAT = 2
KEYS = frozenset(
    {"format", "architecture", "recipe", "data", "averaged", "network", "optimisers", "done"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a checkpoint holds for whoever uses it. `network` is plain and ready to evaluate."""

    network: QuickSRNet
    recipe: Recipe
    done: int
    data: str
    origin: str

    @property
    def training(self) -> str:
        """One line for the model card."""
        begun = f", from {self.origin}" if self.origin else ""
        return f"recipe {self.recipe.name}, {self.done} iterations ({self.recipe.summary}){begun}"


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write atomically: a kill at any moment leaves the last good file.

    Raises BadRequestError when the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.save(state, draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        msg = f"cannot write the checkpoint {path}: {error}"
        raise BadRequestError(msg) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint whole, its tensors on the CPU.

    Raises BadRequestError when the file is missing or is no checkpoint of this trainer.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        msg = f"cannot read the checkpoint {path}: {error.strerror or error}"
        raise BadRequestError(msg) from error
    except (RuntimeError, UnpicklingError, EOFError, ValueError, KeyError) as error:
        msg = f"{path} is no checkpoint, or a damaged one; train again"
        raise BadRequestError(msg) from error
    if not isinstance(state, dict) or not state.keys() >= KEYS or state["format"] != FORMAT:
        msg = f"{path} is no checkpoint of this version of upscaler-train"
        raise BadRequestError(msg)
    return state


def load_checkpoint(path: Path) -> Trained:
    """Return the averaged network of a checkpoint, ready to evaluate, and how it came about.

    Raises BadRequestError when the file is missing or holds no QuickSRNet.
    """
    state = read_checkpoint(path)
    try:
        architecture = architecture_from(state["architecture"])
        network = QuickSRNet(architecture, identity=False)
        network.load_state_dict(state["averaged"])
        recipe = Recipe(**state["recipe"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        msg = f"{path} holds no QuickSRNet: {error}"
        raise BadRequestError(msg) from error
    return Trained(
        network=network.eval(),
        recipe=recipe,
        done=int(state["done"]),
        data=str(state["data"]),
        origin=str(state.get("origin", "")),
    )


def architecture_state(architecture: Architecture) -> dict[str, Any]:
    """Return the architecture as plain values."""
    return {**asdict(architecture), "scale": str(architecture.scale)}


def architecture_from(state: dict[str, Any]) -> Architecture:
    """Return the architecture that `architecture_state` was given."""
    return Architecture(**{**state, "scale": Fraction(state["scale"])})
