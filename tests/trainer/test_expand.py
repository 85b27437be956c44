from __future__ import annotations

import torch

from trainer.expand import expand, plain_weights
from trainer.network import Architecture, QuickSRNet


def expanded(*, trained: bool) -> QuickSRNet:
    torch.manual_seed(1)
    network = QuickSRNet(Architecture(width=8, depth=1))
    expand(network, 16)
    if trained:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def test_training_starts_from_the_same_network() -> None:
    torch.manual_seed(1)
    plain = QuickSRNet(Architecture(width=8, depth=1))
    low = torch.rand(1, 3, 6, 8)
    assert torch.equal(expanded(trained=False)(low), plain(low))


def test_it_collapses_into_plain_convolutions() -> None:
    network = expanded(trained=True)
    plain = QuickSRNet(network.architecture, identity=False)
    with torch.no_grad():
        for parameter, weight in zip(plain_weights(plain), plain_weights(network), strict=True):
            parameter.copy_(weight)
    low = torch.rand(1, 3, 6, 8)
    assert torch.allclose(plain(low), network(low), atol=1e-6)
    assert sum(each.numel() for each in network.parameters()) > 2 * sum(
        each.numel() for each in plain.parameters()
    )


def test_it_equals_a_wide_convolution_and_a_pointwise_one() -> None:
    network = expanded(trained=True)
    first = network.convolutions[0]
    block = first.parametrizations.weight[0]  # type: ignore[union-attr]
    image = torch.rand(1, 3, 6, 8)
    wide = torch.nn.functional.conv2d(image, block.spread.view(16, 3, 3, 3), padding=1)
    branch = torch.nn.functional.conv2d(wide, block.gather[:, :, None, None])
    straight = torch.nn.functional.conv2d(
        image,
        first.parametrizations.weight.original,
        first.bias,
        padding=1,  # type: ignore[union-attr]
    )
    assert torch.allclose(first(image), straight + branch, atol=1e-5)


def test_every_part_learns() -> None:
    network = expanded(trained=True)
    network(torch.rand(1, 3, 6, 8)).square().mean().backward()
    assert all(each.grad is not None for each in network.parameters())
