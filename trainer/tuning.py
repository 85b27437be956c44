"""Quantisation-aware training and bias correction: what a simulation can learn from frames.

Both change the float weights behind a `Simulation` that has not been settled, or its biases; the
integers follow from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from protocol.errors import BadRequestError
from trainer.aimet import Simulation
from trainer.network import QuickSRNet
from trainer.sampler import PatchSampler
from trainer.train import LEVELS, LOSSES

CHECK_EVERY = 20
"""Steps between two looks at the weights: on a GPU each waits for the device."""


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
    activations keep their encodings. Raises BadRequestError when they are no numbers any more.
    """
    for conv in simulation.layers:
        # Not the whole module: the first one holds the encoding of the frame, too.
        for part in (conv.weight, conv.bias, conv.param_quantizers):
            part.requires_grad_()
    parameters = [each for each in simulation.model.parameters() if each.requires_grad]
    optimiser = torch.optim.Adam(parameters, tuning.rate)
    measure = LOSSES[tuning.loss]
    for step in range(tuning.iterations):
        low, high = (each.float() / LEVELS for each in sampler.draw(step, tuning.batch))
        optimiser.zero_grad()
        loss = measure(simulation(low), high)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        last = step == tuning.iterations - 1
        # Not the loss: rounding makes a level of what is no number.
        if (step % CHECK_EVERY == 0 or last) and not _are_finite(parameters):
            msg = (
                f"weights are no numbers any more after step {step}; lower the rate of "
                f"quantisation-aware training ({tuning.rate:g})"
            )
            raise BadRequestError(msg)
        advance()


def _are_finite(parameters: Sequence[Tensor]) -> bool:
    return all(bool(each.isfinite().all()) for each in parameters)


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
    expected = _mean_sums(network, network.convolutions, batches)
    shifts = []
    for layer, mean in zip(simulation.layers, expected, strict=True):
        (found,) = _mean_sums(simulation.model, [layer], batches)
        error = mean - found
        assert layer.bias is not None
        layer.bias.add_(error)
        shifts.append(float(error.abs().max()))
    return shifts


def _mean_sums(
    model: nn.Module, layers: Sequence[nn.Conv2d], batches: Sequence[Tensor]
) -> list[Tensor]:
    """Mean output of each channel of each of `layers`, (out,), while `model` sees all `batches`."""
    sums = [torch.zeros(layer.out_channels, device=layer.weight.device) for layer in layers]
    with ExitStack() as hooks:
        for total, layer in zip(sums, layers, strict=True):
            hooks.enter_context(_outputs(layer, total))
        for batch in batches:
            model(batch)
    return [total / len(batches) for total in sums]


@contextmanager
def _outputs(layer: nn.Module, total: Tensor) -> Iterator[None]:
    """Add the means of the layer's channels to `total` whenever it runs."""

    def add(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        total.add_(output.mean(dim=(0, 2, 3)))

    handle = layer.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
