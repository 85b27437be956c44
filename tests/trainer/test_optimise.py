from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.optimise import Muon, OptimiserName, make_optimisers, orthogonalised, set_rate

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(32, 288), (12, 288), (32, 27), (64, 8)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    matrix = torch.randn(shape) * 1e-4
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonalised(matrix) @ right.T
    large = values > 0.1 * values[0]
    assert turned.diagonal()[large].min() > 0.5
    assert turned.diagonal().max() < 1.3
    off_diagonal = turned - turned.diagonal().diag()
    assert off_diagonal.abs().max() < 1e-3


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_both_fit_a_layer(name: OptimiserName) -> None:
    torch.manual_seed(1)
    inputs = torch.randn(256, 24)
    target = inputs @ torch.randn(24, 24)
    layer = nn.Linear(24, 24)
    optimisers = make_optimisers(layer, name, 0.2, on_device=CPU)
    losses = []
    for step in range(100):
        set_rate(optimisers, 0.2 * (1 - step / 100))
        loss = (layer(inputs) - target).square().mean()
        layer.zero_grad()
        loss.backward()
        for each in optimisers:
            each.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]


def test_biases_go_to_adam() -> None:
    muon, adam = make_optimisers(nn.Conv2d(3, 4, 3), "muon", 0.1, on_device=CPU)
    assert isinstance(muon, Muon)
    assert [each.ndim for each in muon.param_groups[0]["params"]] == [4]
    assert [each.ndim for each in adam.param_groups[0]["params"]] == [1]


def test_the_rate_reaches_every_group() -> None:
    optimisers = make_optimisers(nn.Conv2d(3, 4, 3), "muon", 0.1, on_device=CPU)
    set_rate(optimisers, 0.025)
    assert [group["lr"] for each in optimisers for group in each.param_groups] == [0.025] * 2


def test_the_rate_may_be_a_tensor() -> None:
    weight = nn.Parameter(torch.eye(3))
    muon = Muon([weight], torch.tensor(0.1))
    set_rate([muon], 0.0)
    weight.sum().backward()
    muon.step()
    assert torch.equal(weight, torch.eye(3))


def test_decay_shrinks_kernels_and_leaves_biases() -> None:
    layer = nn.Conv2d(3, 4, 3)
    before = [each.detach().clone() for each in layer.parameters()]
    optimisers = make_optimisers(layer, "muon", 0.1, on_device=CPU, decay=0.5)
    for each in layer.parameters():
        each.grad = torch.zeros_like(each)
    for each in optimisers:
        each.step()
    kernel, bias = layer.parameters()
    torch.testing.assert_close(kernel.detach(), 0.95 * before[0])
    assert torch.equal(bias, before[1])
