"""Checkpoint files: everything a resumed run needs, and the network that a finished one left.

A file is a dictionary that torch loads without running code: "network", "averaged" (the moving
average of the weights, which is what is kept), "optimiser", "generator" and "done".
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from protocol.errors import BadRequestError
from trainer.network import RGB, Architecture, QuickSRNet

KEYS = frozenset({"network", "averaged", "optimiser", "generator", "done"})


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write atomically: a kill leaves the last good file.

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
    """Read a checkpoint whole.

    Raises BadRequestError when the file is missing or is no checkpoint of this trainer.
    """
    try:
        state = torch.load(path, weights_only=True)
    except OSError as error:
        msg = f"cannot read the checkpoint {path}: {error.strerror or error}"
        raise BadRequestError(msg) from error
    except (RuntimeError, UnpicklingError, EOFError, ValueError) as error:
        msg = f"{path} is no checkpoint, or a damaged one; train again"
        raise BadRequestError(msg) from error
    if not isinstance(state, dict) or not state.keys() >= KEYS:
        msg = f"{path} is no checkpoint of upscaler-train"
        raise BadRequestError(msg)
    return state


def load_checkpoint(path: Path) -> tuple[QuickSRNet, int]:
    """Return the averaged network of a checkpoint, ready to evaluate, and the iterations done.

    The architecture is read off the weights. Raises BadRequestError when the file is missing or
    holds no QuickSRNet.
    """
    state = read_checkpoint(path)
    try:
        network = QuickSRNet(architecture_of(state["averaged"]), identity=False)
        network.load_state_dict(state["averaged"])
    except (KeyError, ValueError, RuntimeError) as error:
        msg = f"{path} holds no QuickSRNet: {error}"
        raise BadRequestError(msg) from error
    return network.eval(), int(state["done"])


def architecture_of(weights: dict[str, Tensor]) -> Architecture:
    """Read the architecture off the shapes of a state dictionary.

    Raises KeyError or ValueError when the weights are not those of a QuickSRNet.
    """
    width = weights["cnn.0.weight"].shape[0]
    depth = sum(name.startswith("cnn.") and name.endswith(".weight") for name in weights) - 1
    outputs, inputs = weights["conv_last.weight"].shape[:2]
    # At 1.5x the last layer sees the pixels that space-to-depth folded into channels.
    scale = Fraction(isqrt(outputs // RGB), isqrt(inputs // width))
    return Architecture(width=width, depth=depth, scale=scale)
