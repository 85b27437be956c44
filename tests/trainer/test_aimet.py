from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec

import pytest

if not find_spec("aimet_torch"):
    pytest.skip("AIMET is missing", allow_module_level=True)

import torch
from torch import Tensor

from trainer.aimet import NARROWEST, Rounding, Simulation, adaround, equalise, simulate
from trainer.network import Activation, Architecture, Head, QuickSRNet

GENERATOR = torch.Generator().manual_seed(3)
BATCHES = [torch.rand(4, 3, 16, 16, generator=GENERATOR) for _ in range(2)]
PIXEL = pytest.approx(1 / 255)


def make_network(
    *, activation: Activation = "relu1", head: Head = "space-to-depth", scale: str = "2"
) -> QuickSRNet:
    torch.manual_seed(1)
    architecture = Architecture(
        width=8, depth=1, scale=Fraction(scale), activation=activation, head=head
    )
    return QuickSRNet(architecture).eval()


@torch.no_grad()
def settled(network: QuickSRNet, *, per_channel: bool = True) -> Simulation:
    simulation = simulate(network, per_channel=per_channel, calibration=BATCHES)
    simulation.settle()
    return simulation


@torch.no_grad()
def hidden(network: QuickSRNet) -> Tensor:
    return torch.stack([network.cnn[:2](batch) for batch in BATCHES])


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_are_whole_steps_of_at_most_127(*, per_channel: bool) -> None:
    network = make_network()
    for conv, layer in zip(
        network.convolutions, settled(network, per_channel=per_channel).weights(), strict=True
    ):
        steps = layer.weight / layer.scale[:, None, None, None]
        assert torch.allclose(steps, steps.round(), atol=1e-3)
        largest = steps.abs().amax((1, 2, 3)) if per_channel else steps.abs().max()
        assert torch.allclose(largest, torch.tensor(127.0), atol=1e-3)
        assert layer.scale.shape == (conv.out_channels,)
        assert (len(set(layer.scale.tolist())) == 1) is not per_channel
        assert torch.equal(layer.bias, conv.bias)


@pytest.mark.parametrize("scale", ["2", "3/2"])
def test_clipped_activations_are_pixels(scale: str) -> None:
    simulation = settled(make_network(scale=scale))
    assert simulation.activation_scales == [PIXEL] * 3
    levels = 255 * simulation.model(BATCHES[0])
    assert torch.allclose(levels, levels.round(), atol=1e-3)


def test_the_pooled_output_is_rounded_once_more() -> None:
    simulation = settled(make_network(head="pooled", scale="3/2"))
    upscaled = 255 * simulation.model(BATCHES[0])
    assert upscaled.shape == (4, 3, 24, 24)
    assert torch.allclose(upscaled, upscaled.round(), atol=1e-3)


def test_plain_relus_reach_what_was_measured() -> None:
    network = make_network(activation="relu")
    with torch.no_grad():
        network.convolutions[0].weight.mul_(3)
    first, _, last = settled(network).activation_scales
    assert last == PIXEL
    # Measured with weights that are rounded already.
    assert 255 * first == pytest.approx(hidden(network).max().item(), rel=0.03)
    assert 255 * first > 2


def test_a_silent_layer_still_has_an_encoding() -> None:
    network = make_network(activation="relu")
    with torch.no_grad():
        network.convolutions[0].weight.zero_()
        network.convolutions[0].bias.fill_(-1.0)
    simulation = settled(network)
    assert 255 * simulation.activation_scales[0] == pytest.approx(NARROWEST)
    for layer, step in zip(simulation.weights()[:1], [1 / 255], strict=True):
        # The bias must be an int32 at the step of the products.
        assert (layer.bias.abs() / (layer.scale * step)).max() < 2**31


def test_a_simulation_can_be_trained_until_it_is_settled() -> None:
    simulation = simulate(make_network())
    before = [conv.weight.detach().clone() for conv in simulation.layers]
    simulation(BATCHES[0]).mean().backward()
    assert all(conv.weight.grad is not None for conv in simulation.layers)
    assert all(map(torch.equal, before, [conv.weight for conv in simulation.layers]))
    expected = simulation(BATCHES[0])
    simulation.settle()
    # Settling does what was simulated.
    assert torch.allclose(simulation(BATCHES[0]), expected, atol=1e-6)
    assert not any(each.requires_grad for each in simulation.model.parameters())


def test_adaround_goes_up_or_down_and_counts() -> None:
    network = make_network()
    counted = []
    rounding = Rounding(
        batches=BATCHES,
        iterations=5,
        regularisation=1e-4,
        seed=1,
        advance=lambda: counted.append(1),
    )
    rounded = adaround(network, rounding)
    assert len(counted) == 5 * len(network.convolutions)
    for own, conv, layer in zip(
        rounded.convolutions, network.convolutions, settled(network).weights(), strict=True
    ):
        step = layer.scale[:, None, None, None]
        assert ((own.weight - conv.weight) / step).abs().max() < 1.001


def test_equalising_plain_relus_changes_ranges_and_not_the_result() -> None:
    network = make_network(activation="relu")
    first, second, _ = network.convolutions
    with torch.no_grad():
        first.weight[1].mul_(4)
        first.bias[1].mul_(4)
        second.weight[:, 1].mul_(0.25)
    before = first.weight.detach().clone()
    equalised = equalise(network)
    ranges, equal = (
        each.convolutions[0].weight.detach().abs().amax((1, 2, 3)) for each in (network, equalised)
    )
    assert equal.max() / equal.min() < 0.5 * ranges.max() / ranges.min()
    assert torch.allclose(equalised(BATCHES[0]), network(BATCHES[0]), atol=1e-5)
    assert torch.equal(first.weight, before)


def test_equalising_moves_clipped_activations_out_of_0_and_1() -> None:
    network = make_network()
    with torch.no_grad():
        network.convolutions[0].weight.mul_(2)
    assert hidden(network).max() == 1
    equalised = equalise(network)
    assert equalised.architecture.activation == "relu"
    assert network.architecture.activation == "relu1"
    # Why it does not suit a network with ReLU1: what was clipped no longer is.
    assert hidden(equalised).max() > 1
    assert (equalised(BATCHES[0]) - network(BATCHES[0])).abs().max() > 0.1
    assert any(255 * scale > 1.01 for scale in settled(equalised).activation_scales)
