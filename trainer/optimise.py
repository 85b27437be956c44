"""Optimisers of a recipe: Adam, or Muon for the kernels and Adam for the biases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

OptimiserName = Literal["adam", "muon"]

MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration: they lift small singular values fastest, to 0.7..1.2."""
ORTHOGONALISATIONS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose update has all its singular values near 1 (Jordan et al., Muon, 2024).

    A kernel (out, in, k, k) counts as the matrix (out, in k k). torch.optim.Muon takes matrices
    only, casts to bfloat16, which a CPU emulates slowly, and cannot stand in a CUDA graph.

    It suits this network: kernels start from an identity that dominates their gradients, and Adam
    follows it: after 1,500 steps Muon stood 0.3 dB above Adam, see docs/training.md.
    """

    def __init__(
        self, parameters: Iterable[Tensor], rate: float | Tensor, decay: float = 0.0
    ) -> None:
        """Let weights shrink by `decay` times the rate with every step."""
        super().__init__(parameters, {"lr": rate, "decay": decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1.0 - group["lr"] * group["decay"])
                    self._update(parameter, parameter.grad, group["lr"])
        return None

    def _update(self, parameter: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"]
        momentum.lerp_(gradient, 1.0 - MOMENTUM)
        direction = gradient.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov's look ahead
        rows, columns = direction.shape
        scale = max(1.0, rows / columns) ** 0.5
        update = orthogonalised(direction).view(parameter.shape)
        parameter.sub_(update * (rate * scale))


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix of the same singular vectors, singular values near 1, by Newton-Schulz."""
    first, third, fifth = QUINTIC
    flat = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    flat = flat / (flat.norm() + 1e-12)
    for _ in range(ORTHOGONALISATIONS):
        gram = flat @ flat.T
        flat = first * flat + (third * gram + fifth * gram @ gram) @ flat
    nearly: Tensor = flat.T if matrix.shape[0] > matrix.shape[1] else flat
    return nearly


def make_optimisers(
    network: nn.Module,
    name: OptimiserName,
    rate: float,
    *,
    on_device: torch.device,
    decay: float = 0.0,
) -> list[torch.optim.Optimizer]:
    """Return the optimisers of all parameters.

    `decay` shrinks what Muon updates. Away from the CPU the rate is a tensor there, so that a
    captured step sees it change.
    """
    captured = on_device.type != "cpu"
    lr: Any = torch.tensor(rate, device=on_device) if captured else rate
    parameters = list(network.parameters())
    if name == "adam":
        return [torch.optim.Adam(parameters, lr, foreach=True, capturable=captured)]
    kernels = [each for each in parameters if each.ndim > 1]
    biases = [each for each in parameters if each.ndim <= 1]
    other: Any = lr.clone() if captured else lr
    return [
        Muon(kernels, lr, decay),
        torch.optim.Adam(biases, other, foreach=True, capturable=captured),
    ]


def set_rate(optimisers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """Set the learning rate of the next step."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
