from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from protocol.errors import BadRequestError
from trainer.data import LoadedPair, load_split
from trainer.network import Architecture, QuickSRNet
from trainer.quantise import Quantisation, Quantised, quantise, run_network

needs_aimet = pytest.mark.skipif(find_spec("aimet_torch") is None, reason="AIMET is missing")
NEAREST = Quantisation(adaround_iterations=0)
QUICK = Quantisation(adaround_iterations=40, batches=2)


def make_network(scale: Fraction, *, seed: int = 1) -> QuickSRNet:
    torch.manual_seed(seed)
    return QuickSRNet(Architecture(width=8, depth=1, scale=scale)).eval()


def load(frames: Path, scale: Fraction, split: str = "train") -> list[LoadedPair]:
    return load_split(frames, split=split, scale=scale)


def by_hand(quantised: Quantised, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same network in float64, from nothing but the layers for the graph."""
    scale = quantised.architecture.scale
    levels = torch.from_numpy(frame).permute(2, 0, 1)[None].double()
    for layer in quantised.layers:
        if layer is quantised.layers[-1] and scale.denominator > 1:
            levels = functional.pixel_unshuffle(levels, scale.denominator)
        weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
        padding = weight.shape[-1] // 2
        summed = functional.conv2d(levels / 255, weight.double(), bias.double(), padding=padding)
        levels = (summed * 255).round().clamp(0, 255)
    upscaled = functional.pixel_shuffle(levels, scale.numerator)
    return upscaled[0].permute(1, 2, 0).to(torch.uint8).numpy()


@needs_aimet
@pytest.mark.parametrize("scale", [Fraction(2), Fraction(3, 2)])
@pytest.mark.parametrize("how", [NEAREST, QUICK], ids=["nearest", "adaround"])
def test_the_simulation_is_eight_bits_from_end_to_end(
    frames: Path, scale: Fraction, how: Quantisation
) -> None:
    quantised = quantise(make_network(scale), load(frames, scale), how)
    frame = load(frames, scale, "test")[0].low.permute(1, 2, 0).contiguous().numpy()
    simulated = run_network(quantised.simulation.model, frame)
    difference = np.abs(simulated.astype(int) - by_hand(quantised, frame))
    # Where float32 and float64 round a tie apart; the layers behind it may double that.
    assert difference.max() <= 2
    assert np.count_nonzero(difference) < 0.001 * difference.size


@needs_aimet
@pytest.mark.parametrize("how", [NEAREST, QUICK], ids=["nearest", "adaround"])
def test_weights_are_whole_steps_of_127_levels_a_channel(frames: Path, how: Quantisation) -> None:
    network = make_network(Fraction(2))
    quantised = quantise(network, load(frames, Fraction(2)), how)
    for conv, layer in zip(network.convolutions, quantised.layers, strict=True):
        assert layer.weight_scale is not None
        steps = layer.weight / layer.weight_scale[:, None, None, None]
        original = conv.weight.detach().numpy() / layer.weight_scale[:, None, None, None]
        assert np.abs(steps - np.rint(steps)).max() < 1e-3
        assert np.abs(steps).max() < 127.001
        assert np.allclose(np.abs(original).max((1, 2, 3)), 127, atol=1e-3)
        # Up or down, and never further.
        assert np.abs(steps - original).max() < (1.001 if how.adaround_iterations else 0.501)
        assert np.array_equal(layer.bias, conv.bias.detach().numpy())


@needs_aimet
def test_adaround_reproduces_and_leaves_the_network_and_torch_alone(frames: Path) -> None:
    network, pairs = make_network(Fraction(2)), load(frames, Fraction(2))
    before = [each.detach().clone() for each in network.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = quantise(network, pairs, QUICK)
    assert torch.rand(1) == expected
    second = quantise(network, pairs, QUICK)
    for one, other in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(one.weight, other.weight)
    nearest = quantise(network, pairs, NEAREST)
    assert any(
        not np.array_equal(one.weight, other.weight)
        for one, other in zip(first.layers, nearest.layers, strict=True)
    )
    assert all(map(torch.equal, before, network.parameters()))


def test_a_network_runs_on_frames() -> None:
    network = make_network(Fraction(2))
    frame = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
    upscaled = run_network(network, frame)
    low = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
    assert upscaled.shape == (18, 14, 3)
    assert upscaled.dtype == np.uint8
    exact = 255 * network(low)[0].permute(1, 2, 0).detach().numpy()
    assert np.abs(upscaled - exact).max() <= 0.5 + 1e-4


def test_the_summary_names_the_rounding() -> None:
    assert "nearest" in NEAREST.summary
    assert "AdaRound, 40 iterations" in QUICK.summary
    assert QUICK.summary.startswith("W8A8")


@pytest.mark.parametrize("options", [{"adaround_iterations": -1}, {"batches": 0}, {"patch": 0}])
def test_refuses_impossible_numbers(options: dict[str, int]) -> None:
    with pytest.raises(BadRequestError, match="at least one"):
        Quantisation(**options)
