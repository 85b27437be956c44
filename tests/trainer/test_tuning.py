from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

if not find_spec("aimet_torch"):
    pytest.skip("AIMET is missing", allow_module_level=True)

import torch

from protocol.errors import BadRequestError
from trainer.aimet import Simulation, simulate
from trainer.network import Architecture, QuickSRNet
from trainer.sampler import PatchSampler
from trainer.store import Store
from trainer.tuning import Tuning, correct_biases, tune


def make_network() -> QuickSRNet:
    torch.manual_seed(1)
    return QuickSRNet(Architecture(width=8, depth=1)).eval()


def tuning(*, iterations: int = 30, rate: float = 1e-3, loss: str = "mse") -> Tuning:
    return Tuning(iterations=iterations, batch=2, rate=rate, loss=loss)


@torch.no_grad()
def loss_of(simulation: Simulation, sampler: PatchSampler) -> float:
    low, high = (each.float() / 255 for each in sampler.draw(1000, 16))
    return float((simulation(low) - high).square().mean())


@torch.no_grad()
def mean_errors(simulation: Simulation, network: QuickSRNet, batch: torch.Tensor) -> torch.Tensor:
    return (simulation.model(batch) - network(batch)).mean((0, 2, 3)).abs()


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_training_lowers_the_quantised_loss(
    store_x2: Path, loss: str, *, per_channel: bool
) -> None:
    sampler = PatchSampler(Store(store_x2), patch=16, seed=1)
    network = make_network()
    simulation = simulate(network, per_channel=per_channel)
    before = loss_of(simulation, sampler)
    steps = []
    tune(simulation, sampler, tuning(loss=loss), lambda: steps.append(1))
    assert len(steps) == 30
    simulation.settle()
    assert loss_of(simulation, sampler) < before
    for own, conv in zip(simulation.layers, network.convolutions, strict=True):
        assert not torch.equal(own.bias, conv.bias)
        assert not torch.equal(own.weight, conv.weight)
    # The encodings of activations are those of the graph, that of the frame included.
    frame = simulation.layers[0].input_quantizers[0]
    assert frame.get_scale() == pytest.approx(1 / 255)
    assert (frame.min, frame.max) == (0, 1)
    assert simulation.activation_scales == [pytest.approx(1 / 255)] * 3


def test_training_that_diverges_says_so(store_x2: Path) -> None:
    sampler = PatchSampler(Store(store_x2), patch=16, seed=1)
    simulation = simulate(make_network())
    with torch.no_grad():
        simulation.layers[0].bias[0] = torch.nan
    with pytest.raises(BadRequestError, match=r"no numbers any more after step 0; lower the rate"):
        tune(simulation, sampler, tuning())


def test_bias_correction_removes_the_mean_error(store_x2: Path) -> None:
    low, _ = PatchSampler(Store(store_x2), patch=16, seed=1).draw(0, 16)
    batch = low.float() / 255
    network = make_network()
    simulation = simulate(network, per_channel=False)
    simulation.settle()
    # As if rounding had gone one way only.
    with torch.no_grad():
        for conv in simulation.layers:
            conv.bias.add_(0.02)
    before = mean_errors(simulation, network, batch)
    shifts = correct_biases(simulation, network, [batch])
    assert max(shifts) > 0.01
    assert mean_errors(simulation, network, batch).mean() < 0.2 * before.mean()
    assert max(correct_biases(simulation, network, [batch])) < 0.2 * max(shifts)
