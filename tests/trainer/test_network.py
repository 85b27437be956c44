from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch.nn import functional

from protocol.errors import BadRequestError
from trainer.network import SCALES, Architecture, QuickSRNet, parse_size


@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        (Architecture(width=32, depth=2), 22_860),  # Small, Medium and Large of the paper
        (Architecture(width=32, depth=5), 50_604),
        (Architecture(width=64, depth=11), 414_924),
        (Architecture(width=32, depth=2, scale=Fraction(3, 2)), 22_875),
    ],
)
def test_parameter_count(architecture: Architecture, count: int) -> None:
    assert sum(each.numel() for each in QuickSRNet(architecture).parameters()) == count


@pytest.mark.parametrize("scale", SCALES)
def test_identity_alone_is_nearest_neighbour(scale: Fraction) -> None:
    network = QuickSRNet(Architecture(width=8, depth=1, scale=scale), identity=False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    network.add_identity()
    low = torch.rand(2, 3, 6, 10, generator=torch.Generator().manual_seed(1))
    nearest = functional.interpolate(low, scale_factor=float(scale), mode="nearest")
    assert torch.equal(network(low), nearest)


def test_the_random_part_around_the_identity_can_be_scaled() -> None:
    networks = []
    for noise in (1.0, 0.25):
        torch.manual_seed(1)
        networks.append(QuickSRNet(Architecture(width=8, depth=1), noise=noise))
    full, quarter = networks
    identity = QuickSRNet(full.architecture, identity=False)
    with torch.no_grad():
        for parameter in identity.parameters():
            parameter.zero_()
    identity.add_identity()
    parts = [net.conv_last.weight - identity.conv_last.weight for net in networks]
    assert torch.allclose(parts[1], 0.25 * parts[0], atol=1e-6)
    assert torch.equal(full.convolutions[0].weight, quarter.convolutions[0].weight)


@pytest.mark.parametrize("scale", SCALES)
def test_results_have_the_scaled_size_and_stay_within_0_and_1(scale: Fraction) -> None:
    torch.manual_seed(1)
    network = QuickSRNet(Architecture(width=8, depth=2, scale=scale))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # far beyond what the clips let through
        upscaled = network(torch.rand(2, 3, 8, 12))
    assert upscaled.shape == (2, 3, int(8 * scale), int(12 * scale))
    assert upscaled.min() == 0
    assert upscaled.max() == 1


def test_convolutions_come_in_the_order_of_execution() -> None:
    network = QuickSRNet(Architecture(width=8, depth=3))
    assert network.convolutions[0].in_channels == 3
    assert len(network.convolutions) == 5
    assert network.convolutions[-1] is network.conv_last


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scale": Fraction(5)}, "no scale 5; choose one of 3/2, 2, 3, 4"),
        ({"width": 2}, "width >= 3"),
        ({"depth": -1}, "depth >= 0"),
        ({"head": "pooled"}, "the pooled head is for 1.5x; at 2x there is nothing to pool"),
    ],
)
def test_refuses_what_is_no_quicksrnet(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Architecture(**options)


@pytest.mark.parametrize("scale", SCALES)
def test_the_residual_alone_is_nearest_neighbour(scale: Fraction) -> None:
    network = QuickSRNet(Architecture(width=8, depth=1, scale=scale, residual=True))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    low = torch.rand(2, 3, 6, 10, generator=torch.Generator().manual_seed(1))
    nearest = functional.interpolate(low, scale_factor=float(scale), mode="nearest")
    assert torch.equal(network(low), nearest)


def test_the_pooled_head_averages_what_it_upscaled_by_three() -> None:
    torch.manual_seed(1)
    network = QuickSRNet(Architecture(width=8, depth=1, scale=Fraction(3, 2), head="pooled"))
    assert network.conv_last.kernel_size == (3, 3)
    tripled = QuickSRNet(Architecture(width=8, depth=1, scale=Fraction(3)))
    tripled.load_state_dict(network.state_dict())
    low = torch.rand(1, 3, 8, 12)
    assert network(low).shape == (1, 3, 12, 18)
    assert torch.equal(network(low), functional.avg_pool2d(tripled(low), 2))


def test_without_relu1_activations_pass_one() -> None:
    network = QuickSRNet(Architecture(width=8, depth=1, activation="relu"))
    with torch.no_grad():
        network.convolutions[0].bias.fill_(5.0)
    assert network.cnn(torch.rand(1, 3, 8, 8)).max() > 1
    assert network(torch.rand(1, 3, 8, 8)).max() <= 1


@pytest.mark.parametrize(
    ("text", "size", "name"),
    [
        ("small", (32, 2), "small"),
        ("large", (64, 11), "large"),
        ("f32-m5", (32, 5), "medium"),
        ("f32m7", (32, 7), "f32-m7"),
    ],
)
def test_sizes_by_name(text: str, size: tuple[int, int], name: str) -> None:
    assert parse_size(text) == size
    assert Architecture(width=size[0], depth=size[1]).name == name


def test_an_unknown_size_is_told_the_names() -> None:
    with pytest.raises(BadRequestError, match="unknown architecture 'huge'; choose small, medium"):
        parse_size("huge")


def test_variants_have_names() -> None:
    assert Architecture().variants == []
    ablation = Architecture(scale=Fraction(3, 2), head="pooled", activation="relu", residual=True)
    assert ablation.variants == ["pooled", "relu", "residual"]
