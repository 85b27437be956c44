"""W8A8 quantisation: a trained network in, the layers of the deployed graph out.

A step of the weights is coarse, since the identity that training starts from leaves one tap near 1
in every channel: rounding to nearest costs tenths of a decibel. Two methods win nearly all of that
back. AdaRound (Nagel et al., Up or Down?, 2020) chooses for each weight whether it goes up or down,
so that the layer's output, after its clip, stays closest to the float one on crops of real frames.
Quantisation-aware training goes on training with rounded weights, slowly.

Cross-layer equalisation and bias correction (Nagel et al., 2019) can be put around every method.
Equalisation does not suit this network, see `trainer.aimet.equalise`.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from protocol.errors import BadRequestError
from trainer.aimet import Rounding, Simulation, adaround, equalise, simulate
from trainer.graph import LEVELS, Convolution
from trainer.network import Architecture, QuickSRNet
from trainer.recipes import Loss
from trainer.sampler import PatchSampler
from trainer.store import Store
from trainer.tuning import Tuning, correct_biases, tune
from upscaler.contract import Frame

CROPS_PER_BATCH = 32
Method = Literal[
    "ptq-per-tensor", "ptq-per-channel", "adaround", "qat-per-tensor", "qat-per-channel"
]
METHODS: tuple[Method, ...] = get_args(Method)
Advance = Callable[[str, int, int], None]
"""Is told what is going on, how much of it is done, and of how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """How to quantise.

    Methods: "ptq" rounds weights to nearest, "adaround" as it says, "qat" trains on with rounded
    weights; with one scale per output channel (AdaRound too) or one per tensor. `equalise` comes
    before, `correct_bias` after.

    `batches` of 32 square crops, `patch` low-resolution pixels a side, are what AdaRound sees of
    the data; `calibration_batches` and `calibration_patch` are those that the ranges of unbounded
    activations and the mean errors of bias correction are taken from: larger crops, since the zeros
    around a crop are no picture. `regularisation` is AIMET's weight of the rounding loss. Its
    default of 0.01 is meant for activations of any size: over activations in 0..1 it drowns the
    error that is to be fitted. The rate of QAT is the paper's, with a fresh Adam.
    """

    method: Method = "adaround"
    equalise: bool = False
    correct_bias: bool = False
    adaround_iterations: int = 10_000
    batches: int = 64
    patch: int = 16
    regularisation: float = 1e-4
    qat_iterations: int = 2_000
    qat_batch: int = 16
    qat_patch: int = 64
    qat_rate: float = 4e-6
    qat_loss: Loss = "mse"
    calibration_batches: int = 16
    calibration_patch: int = 64
    seed: int = 1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            msg = f"unknown method {self.method!r}; choose one of {', '.join(METHODS)}"
            raise BadRequestError(msg)
        if self.qat_loss not in get_args(Loss):
            msg = f"unknown loss {self.qat_loss!r}; choose one of {', '.join(get_args(Loss))}"
            raise BadRequestError(msg)
        if not 0 < self.qat_rate <= 1 or not self.regularisation >= 0:
            msg = "quantisation needs a learning rate in 0..1 and a regularisation not below 0"
            raise BadRequestError(msg)
        counts = (
            *(self.adaround_iterations, self.batches, self.patch),
            *(self.qat_iterations, self.qat_batch, self.qat_patch),
            *(self.calibration_batches, self.calibration_patch),
        )
        if min(counts) < 1:
            msg = "quantisation needs at least one iteration, one batch, one crop and one pixel"
            raise BadRequestError(msg)

    @property
    def per_channel(self) -> bool:
        """Whether each output channel has a scale of its own."""
        return not self.method.endswith("per-tensor")

    @property
    def summary(self) -> str:
        """One line for the model card."""
        method = {
            "ptq": "nearest",
            "adaround": f"AdaRound, {self.adaround_iterations} iterations a layer",
            "qat": f"QAT, {self.qat_iterations} iterations at {self.qat_rate:g}, {self.qat_loss}",
        }[self.method.partition("-")[0]]
        parts = [
            f"W8A8, int8 weights per {'channel' if self.per_channel else 'tensor'} ({method})",
            "after cross-layer equalisation" if self.equalise else "",
            "biases corrected" if self.correct_bias else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """A quantised network: `layers` for the graph, `simulation` to compare its results with.

    `original` is the float network that was quantised: the trained one, or that after equalisation.
    """

    architecture: Architecture
    layers: list[Convolution]
    simulation: Simulation
    original: QuickSRNet


def check_quantisable(architecture: Architecture) -> None:
    """Raise BadRequestError for a network with a residual."""
    if architecture.residual:
        msg = (
            "a network with a residual has no int8 graph: it would add two encodings of "
            "different scales; only its float model can be written (--method none)"
        )
        raise BadRequestError(msg)


def quantise(
    network: QuickSRNet,
    store: Store,
    how: Quantisation,
    advance: Advance = lambda _what, _done, _total: None,
) -> Quantised:
    """Quantise `network`, which is not changed, seeing the training frames of `store`.

    Runs where the network lies; what is returned lies on the CPU. Raises EngineError when AIMET is
    missing, BadImageError when a frame is smaller than a crop, and BadRequestError for a network
    with a residual, or when QAT diverges.
    """
    architecture = network.architecture
    check_quantisable(architecture)
    original = equalise(network) if how.equalise else network
    calibration = _crops(store, network, how.calibration_batches, how.calibration_patch, how.seed)
    simulation = simulate(original, per_channel=how.per_channel, calibration=calibration)
    if how.method == "adaround":
        _adaround(original, simulation, store, how, advance)
    elif how.method.startswith("qat"):
        _tune(simulation, store, how, advance)
    simulation.settle()
    if how.correct_bias:
        correct_biases(simulation, original, calibration)
    simulation.model.cpu()
    layers = [
        Convolution(
            weight=layer.weight.numpy(),
            bias=layer.bias.numpy(),
            weight_scale=layer.scale.numpy(),
            activation_scale=layer.activation_scale,
        )
        for layer in simulation.weights()
    ]
    return Quantised(
        architecture=architecture,
        layers=layers,
        simulation=simulation,
        original=deepcopy(original).cpu(),
    )


@torch.no_grad()
def run_network(network: torch.nn.Module, frame: Frame) -> Frame:
    """Upscale (H, W, 3) uint8 RGB by a float network or a simulation; the result is a new array."""
    # A copy, for the frames of a store are read-only.
    low = torch.tensor(frame).permute(2, 0, 1)[None].float() / LEVELS
    upscaled: Tensor = network(low)[0]
    levels = (upscaled * LEVELS).round().to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().numpy()


def _adaround(
    original: QuickSRNet,
    simulation: Simulation,
    store: Store,
    how: Quantisation,
    advance: Advance,
) -> None:
    total = how.adaround_iterations * len(original.convolutions)
    rounded = adaround(
        original,
        Rounding(
            batches=_crops(store, original, how.batches, how.patch, how.seed),
            iterations=how.adaround_iterations,
            regularisation=how.regularisation,
            seed=how.seed,
            advance=_counted(advance, "AdaRound", total),
        ),
    )
    with torch.no_grad():
        for own, found in zip(simulation.layers, rounded.convolutions, strict=True):
            own.weight.copy_(found.weight)


def _tune(simulation: Simulation, store: Store, how: Quantisation, advance: Advance) -> None:
    device = next(simulation.model.parameters()).device
    tune(
        simulation,
        PatchSampler(store, patch=how.qat_patch, seed=how.seed, device=device),
        Tuning(
            iterations=how.qat_iterations,
            batch=how.qat_batch,
            rate=how.qat_rate,
            loss=how.qat_loss,
        ),
        _counted(advance, "QAT", how.qat_iterations),
    )


def _counted(advance: Advance, what: str, total: int) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        advance(what, done, total)

    return count


def _crops(store: Store, network: QuickSRNet, batches: int, patch: int, seed: int) -> list[Tensor]:
    """Return batches of low-resolution training crops, (32, 3, P, P) in 0..1, on the device."""
    device = next(network.parameters()).device
    sampler = PatchSampler(store, patch=patch, seed=seed, device=device)
    return [
        sampler.draw(step, CROPS_PER_BATCH)[0].contiguous().float() / LEVELS
        for step in range(batches)
    ]
