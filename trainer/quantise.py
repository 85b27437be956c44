"""W8A8 post-training quantisation: a trained network in, the layers of the deployed graph out.

A step of the weights is coarse, since the identity that training starts from leaves one tap near 1
in every channel: rounding to nearest costs tenths of a decibel. AdaRound (Nagel et al., Up or
Down?, 2020) instead chooses for each weight whether it goes up or down, so that the layer's
output, after its clip, stays closest to the float one on crops of real frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protocol.errors import BadRequestError
from trainer.aimet import Rounding, Simulation, simulate
from trainer.graph import LEVELS, Convolution
from trainer.network import Architecture, QuickSRNet
from trainer.sampler import PatchSampler
from trainer.store import Store
from upscaler.contract import Frame

CROPS_PER_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """How to quantise. Without AdaRound iterations, weights are rounded to nearest.

    `batches` of 32 square crops, `patch` pixels a side, are what AdaRound sees of the data.
    `regularisation` is AIMET's weight of the rounding loss. Its default of 0.01 is meant for
    activations of any size: over activations in 0..1 it drowns the error that is to be fitted.
    """

    adaround_iterations: int = 10_000
    batches: int = 64
    patch: int = 16
    regularisation: float = 1e-4
    seed: int = 1

    def __post_init__(self) -> None:
        if self.adaround_iterations < 0 or self.batches < 1 or self.patch < 1:
            msg = "quantisation needs iterations >= 0, and at least one batch and one pixel"
            raise BadRequestError(msg)

    @property
    def summary(self) -> str:
        """One line for the model card."""
        rounding = (
            f"AdaRound, {self.adaround_iterations} iterations a layer"
            if self.adaround_iterations
            else "nearest"
        )
        return f"W8A8, int8 weights per channel ({rounding}), activations at 1/255"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """A quantised network: `layers` for the graph, `simulation` to compare its results with."""

    architecture: Architecture
    layers: list[Convolution]
    simulation: Simulation


def quantise(network: QuickSRNet, store: Store, how: Quantisation) -> Quantised:
    """Quantise `network`, which is not changed, seeing the training frames of `store`.

    Raises EngineError when AIMET is missing, and BadImageError when a frame is smaller than a crop.
    """
    rounding = None
    if how.adaround_iterations:
        sampler = PatchSampler(store, patch=how.patch, seed=how.seed)
        batches = [
            sampler.draw(step, CROPS_PER_BATCH)[0].contiguous().float() / LEVELS
            for step in range(how.batches)
        ]
        rounding = Rounding(
            batches=batches,
            iterations=how.adaround_iterations,
            regularisation=how.regularisation,
            seed=how.seed,
        )
    simulation = simulate(network, rounding=rounding)
    layers = [
        Convolution(
            weight=layer.weight.numpy(),
            bias=layer.bias.numpy(),
            weight_scale=layer.scale.numpy(),
        )
        for layer in simulation.convolutions
    ]
    return Quantised(architecture=network.architecture, layers=layers, simulation=simulation)


@torch.no_grad()
def run_network(network: torch.nn.Module, frame: Frame) -> Frame:
    """Upscale (H, W, 3) uint8 RGB by a float network or a simulation; the result is a new array."""
    low = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / LEVELS
    upscaled: Tensor = network(low)[0]
    levels = (upscaled * LEVELS).round().to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().numpy()
