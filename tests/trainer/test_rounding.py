from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from trainer.network import Architecture, QuickSRNet
from trainer.rounding import LEVELS, round_activations


def hidden(network: QuickSRNet, low: Tensor) -> list[Tensor]:
    """What follows each activation of `network`."""
    seen = []
    handles = [
        layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
        for layer in network.cnn
        if not isinstance(layer, nn.Conv2d)
    ]
    network(low)
    for handle in handles:
        handle.remove()
    return seen


def off_level(activation: Tensor) -> float:
    levels = activation.detach() * LEVELS
    return (levels - levels.round()).abs().max().item()


def made(**options: object) -> QuickSRNet:
    torch.manual_seed(3)
    return QuickSRNet(Architecture(width=8, depth=1, scale=Fraction(2), **options))


def test_hidden_activations_lie_on_levels_and_stay_near() -> None:
    low = torch.rand(2, 3, 12, 12)
    network = made()
    plain = [each.detach() for each in hidden(network, low)]
    round_activations(network)
    rounded = hidden(network, low)
    assert max(map(off_level, plain)) > 0.4
    assert max(map(off_level, rounded)) < 1e-3
    # The first layer sees the same input, so it is off by the rounding alone.
    assert (rounded[0] - plain[0]).detach().abs().max().item() <= 0.5 / LEVELS + 1e-6


def test_gradients_pass_through_as_if_nothing_were_rounded() -> None:
    low = torch.rand(1, 3, 12, 12)
    network = made()
    first = network.cnn[0].weight
    network.cnn[:2](low).sum().backward()
    plain = first.grad.clone()
    first.grad = None
    round_activations(network)
    network.cnn[:2](low).sum().backward()
    assert plain.abs().sum() > 0
    assert torch.equal(first.grad, plain)


def test_plain_relus_are_left_alone() -> None:
    low = torch.rand(1, 3, 12, 12)
    network = made(activation="relu")
    before = network(low)
    round_activations(network)
    assert torch.equal(network(low), before)


def test_state_stays_that_of_the_plain_network() -> None:
    network = made()
    names = list(network.state_dict())
    round_activations(network)
    assert list(network.state_dict()) == names
    assert not any("round" in name for name, _ in network.named_modules())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_ends_of_the_range_are_exact(value: float) -> None:
    network = made()
    round_activations(network)
    conv, activation = network.cnn[0], network.cnn[1]
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.fill_(value)
    assert activation(conv(torch.rand(1, 3, 4, 4))).eq(value).all()
