"""Quantisation-aware training and bias correction: what a simulation can learn from frames.

Both change the float weights behind a `Simulation` that has not been settled, or its biases; the
integers follow from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from protocol.errors import BadRequestError
from trainer.aimet import Simulation
from trainer.network import QuickSRNet
from trainer.sampler import PatchSampler
from trainer.train import LEVELS, LOSSES

CHECK_EVERY = 20
"""Steps between two looks at the loss: on a GPU each waits for the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How to fine-tune: `batch` crops make up a step of a fresh Adam at the constant `rate`."""

    iterations: int
    batch: int
    rate: float
    loss: str


def tune(
    simulation: Simulation,
    sampler: PatchSampler,
    tuning: Tuning,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Train the simulation against native renders, in place; `advance` is called after each step.

    Weights, biases and the weights' scales learn; rounding passes gradients straight through. The
    activations keep their encodings. Raises BadRequestError when the loss is no number any more.
    """
    for conv in simulation.convolutions:
        conv.requires_grad_()
    parameters = [each for each in simulation.model.parameters() if each.requires_grad]
    optimiser = torch.optim.Adam(parameters, tuning.rate)
    measure = LOSSES[tuning.loss]
    for step in range(tuning.iterations):
        low, high = (each.float() / LEVELS for each in sampler.draw(step, tuning.batch))
        optimiser.zero_grad()
        loss = measure(simulation.model(low), high)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        last = step == tuning.iterations - 1
        if (step % CHECK_EVERY == 0 or last) and not math.isfinite(float(loss.detach())):
            msg = (
                f"the loss is no number any more at step {step}; lower the rate of "
                f"quantisation-aware training ({tuning.rate:g})"
            )
            raise BadRequestError(msg)
        advance()


@torch.no_grad()
def correct_biases(
    simulation: Simulation, network: QuickSRNet, batches: Sequence[Tensor]
) -> list[float]:
    """Shift each bias by the mean error of its channel (Nagel et al., 2019, section 4.2).

    Empirical: the mean over `batches`, (N, 3, H, W) RGB in 0..1, of the float `network`'s sums
    minus the simulation's, ahead of the activation; layer by layer, the layers before quantised and
    corrected already. aimet_torch 2.42 has no bias correction any more (that of 1.x is gone), so it
    is done here on its simulation, which must be settled. Returns the largest shift of each layer.
    """
    shifts = []
    for quantised, original in zip(simulation.convolutions, network.convolutions, strict=True):
        error = _mean_sums(network, original, batches) - _mean_sums(
            simulation.model, quantised, batches
        )
        assert quantised.bias is not None
        quantised.bias.add_(error)
        shifts.append(float(error.abs().max()))
    return shifts


def _mean_sums(model: nn.Module, layer: nn.Conv2d, batches: Sequence[Tensor]) -> Tensor:
    """Mean output of each of a layer's channels, (out,), while `model` sees all `batches`."""
    means: list[Tensor] = []
    with _outputs(layer, lambda sums: means.append(sums.mean(dim=(0, 2, 3)))):
        for batch in batches:
            model(batch)
    return torch.stack(means).mean(dim=0)


@contextmanager
def _outputs(layer: nn.Module, receive: Callable[[Tensor], None]) -> Iterator[None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        receive(output.detach())

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
