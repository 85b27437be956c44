"""Training with activations rounded as they will be deployed.

A deployed QuickSRNet keeps every activation as one of 256 levels. A network that never met the
rounding amplifies its errors from layer to layer; one that was trained with it learns weights that
do so less, and loses nothing in floats (docs/training.md has both figures). Gradients pass straight
through (Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons, 2013).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainer.network import QuickSRNet

LEVELS = 255


def round_activations(network: QuickSRNet) -> None:
    """Let every hidden ReLU1 of `network` round its result to multiples of 1/255, in place.

    Plain ReLUs are left alone: their levels are not known before they are measured. A hook, so that
    state and layers stay those of the plain network.
    """
    for layer in network.cnn:
        if isinstance(layer, nn.Hardtanh):
            layer.register_forward_hook(_rounded)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, activation: Tensor) -> Tensor:
        return activation.mul(LEVELS).round_().div_(LEVELS)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def _rounded(_layer: nn.Module, _inputs: object, activation: Tensor) -> Tensor:
    rounded: Tensor = _StraightThrough.apply(activation)  # type: ignore[no-untyped-call]
    return rounded
