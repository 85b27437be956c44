"""The border to AIMET, Qualcomm's quantisation toolkit: the only file that imports it.

What AIMET does by default does not fit a network whose activations all lie in 0..1:

- It does not group a Hardtanh with the convolution before it, and so gives each convolution's
  output an encoding of its own, ahead of the clip. Those quantisers are removed here.
- It measures the range of activations. Here the range is known: the input and every ReLU1 are
  fixed at 0..1, which is scale 1/255 and zero-point 0, the encoding of a pixel.
- Its symmetric weights use -128..127. The deployed ones use -127..127, so the simulation does too.

Weights are int8, symmetric, one scale per output channel (the largest magnitude is 127). Biases
stay float in the simulation and become int32 at scale (1/255) * weight scale when written: at a
weight scale of 0.01 that moves a sum by at most 1/200 of a level.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from protocol.errors import EngineError
from trainer.network import RGB, QuickSRNet

HEXAGON = "htp_v73"
"""AIMET's rules for Hexagon v73 and later: convolution weights per channel, symmetric."""
WEIGHT_LEVELS = 127

# Dropping a torch.library.Library withdraws what it defined.
_kept: list[torch.library.Library] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A quantised network in floats.

    `model` maps (N, 3, H, W) RGB in 0..1 to multiples of 1/255 in 0..1, as the deployed network
    does up to the rounding of its sums. `convolutions` are its layers in the order of execution.
    """

    model: nn.Module
    convolutions: list[QuantisedWeights]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedWeights:
    """One layer: `weight` (out, in, k, k) in multiples of `scale` (out,), float `bias` (out,)."""

    weight: Tensor
    bias: Tensor
    scale: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """How to run AdaRound.

    `batches` are (N, 3, H, W) RGB in 0..1. Every iteration fits one layer on 32 of their crops:
    the squared error of its output after ReLU1, with the layers before it rounded already.
    `regularisation` weighs the wish for whole steps against that error.
    """

    batches: Sequence[Tensor]
    iterations: int
    regularisation: float
    seed: int


def simulate(network: QuickSRNet, *, rounding: Rounding | None = None) -> Simulation:
    """Quantise `network` to W8A8 and return the simulation; `network` is not changed.

    Weights are rounded to nearest, or by AdaRound when `rounding` says how.
    Raises EngineError when AIMET is missing.
    """
    with _vendor_warnings_ignored():
        aimet = _load()
        from aimet_torch.common.defs import QuantScheme

        sim = aimet.QuantizationSimModel(
            network,
            dummy_input=_example(network),
            quant_scheme=QuantScheme.min_max,
            default_param_bw=8,
            default_output_bw=8,
            config_file=HEXAGON,
        )
        rounded = network if rounding is None else _adaround(network, rounding)
        with torch.no_grad():
            _fix_activations(sim.model)
            layers = [
                _fix_weights(aimet, conv, target.weight)
                for conv, target in zip(_convolutions(sim.model), rounded.convolutions, strict=True)
            ]
    return Simulation(model=sim.model.eval(), convolutions=layers)


def _adaround(network: QuickSRNet, rounding: Rounding) -> QuickSRNet:
    """Return a copy of `network` with rounded weights, whose steps are those of a simulation."""
    from aimet_torch.adaround import Adaround, AdaroundParameters
    from aimet_torch.common.defs import QuantScheme

    parameters = AdaroundParameters(
        rounding.batches,
        len(rounding.batches),
        default_num_iterations=rounding.iterations,
        default_reg_param=rounding.regularisation,
    )
    # AdaRound picks its crops with torch's global generator, and insists on writing a file of
    # encodings. They are those of the simulation: both take the largest magnitude as 127.
    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as folder:
        torch.manual_seed(rounding.seed)
        rounded: QuickSRNet = Adaround.apply_adaround(
            network,
            _example(network),
            parameters,
            path=folder,
            filename_prefix="weights",
            default_param_bw=8,
            default_quant_scheme=QuantScheme.min_max,
            default_config_file=HEXAGON,
        )
    return rounded


def _fix_activations(model: Any) -> None:
    """Leave quantisers on the input and after every ReLU1 only, all of them fixed at 0..1."""
    kept: list[Any] = [model.cnn[0].input_quantizers[0]]
    for module in model.modules():
        outputs: Any = getattr(module, "output_quantizers", None)
        if outputs is None:
            continue
        if isinstance(module, nn.Hardtanh):
            kept.append(outputs[0])
        else:
            _remove(outputs)
        if module is not model.cnn[0]:
            _remove(module.input_quantizers)
    for quantiser in kept:
        quantiser.set_range(0.0, 1.0)
        quantiser.requires_grad_(requires_grad=False)
        quantiser.allow_overwrite(False)  # noqa: FBT003 - AIMET's signature


def _remove(quantisers: nn.ModuleList) -> None:
    for index in range(len(quantisers)):
        quantisers[index] = None  # type: ignore[assignment] # AIMET's sign for "not quantised"


def _fix_weights(aimet: Any, conv: Any, rounded: Tensor) -> QuantisedWeights:
    """Put a layer's weights on steps of the scale that AIMET measured on the float ones.

    `rounded` lies near or on whole steps already; this clips it to -127..127. The quantiser goes,
    for there is nothing left to round when the simulation runs.
    """
    measured = conv.param_quantizers["weight"]
    with measured.compute_encodings():
        measured(conv.weight)
    scale = measured.get_scale()
    strict = aimet.quantization.affine.QuantizeDequantize(
        tuple(scale.shape), qmin=-WEIGHT_LEVELS, qmax=WEIGHT_LEVELS, symmetric=True
    )
    strict.set_range(-WEIGHT_LEVELS * scale, WEIGHT_LEVELS * scale)
    conv.weight.copy_(strict(rounded))
    conv.param_quantizers["weight"] = None
    return QuantisedWeights(
        weight=conv.weight.detach().clone(),
        bias=conv.bias.detach().clone(),
        scale=scale.detach().flatten().clone(),
    )


def _convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def _example(network: QuickSRNet) -> Tensor:
    """An input that AIMET traces the network with."""
    return torch.zeros(1, RGB, 24, 24).to(next(network.parameters()).device)


def _load() -> Any:
    """Import AIMET and silence its log below errors.

    Raises EngineError when it is missing.
    """
    try:
        _import_torchvision()
        import aimet_torch
        from aimet_torch.common.utils import AimetLogger
    except ImportError as error:
        msg = f"quantising needs AIMET ({error}); pip install 'upscaler[train]'"
        raise EngineError(msg) from error
    AimetLogger.set_level_for_all_areas(logging.ERROR)
    return aimet_torch


@contextmanager
def _vendor_warnings_ignored() -> Iterator[None]:
    """Keep AIMET's use of deprecated torch and AIMET functions from the user, and from our tests.

    The versions are pinned as one set, so what is deprecated still works.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Converting a tensor with requires_grad", UserWarning)
        yield


def _import_torchvision() -> None:
    """Import torchvision, which AIMET does unconditionally, beside a torch it was not built for.

    The wheel on PyPI is linked against CUDA. Beside a CPU-only torch its library does not load, so
    two operators are undefined and `import torchvision` fails with "operator torchvision::nms does
    not exist" while it describes them. Nothing here calls either: declaring them is enough.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        _kept.append(library)
        import torchvision  # noqa: F401
