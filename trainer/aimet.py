"""The border to AIMET, Qualcomm's quantisation toolkit: the only file that imports it.

What AIMET does by default does not fit a network whose activations all lie in 0..1:

- It does not group a Hardtanh with the convolution before it, and so gives each convolution's
  output an encoding of its own, ahead of the clip. Those quantisers are removed here.
- It measures the range of activations. Where a clip bounds them the range is known: the input,
  every ReLU1 and the pooled output are fixed at 0..1, which is scale 1/255 and zero-point 0, the
  encoding of a pixel. Only plain ReLUs are measured; theirs is 0..maximum, zero-point 0.
- Its symmetric weights use -128..127. The deployed ones use -127..127, so the simulation does too.
- Its rules for Hexagon have one scale per output channel. One per tensor is made of the same rules.

Weights are int8, symmetric; the largest magnitude of a channel or tensor is 127. Biases stay float
in the simulation and become int32 at scale (input scale) * (weight scale) when written: at 1/255
and 0.01 that moves a sum by at most 1/200 of a level.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from protocol.errors import EngineError
from trainer.network import RGB, QuickSRNet

HEXAGON = "htp_quantsim_config_v73.json"
"""AIMET's rules for Hexagon v73 and later: convolution weights per channel, symmetric."""
WEIGHT_LEVELS, PIXEL_LEVELS = 127, 255
LARGEST_BIAS = 2**30
"""Half of what int32 holds: the other half is for the sum of products, below 2^25 here."""
NARROWEST = 1 / 16
"""Least range of a measured activation, for one that was never above zero."""

# Dropping a torch.library.Library withdraws what it defined.
_kept: list[torch.library.Library] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedWeights:
    """One layer: `weight` (out, in, k, k) in multiples of `scale` (out,), float `bias` (out,).

    Per tensor, all of `scale` are equal. `activation_scale` is the step of the layer's output,
    whose levels 0..255 start at zero. All on the CPU.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    activation_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """How to run AdaRound.

    `batches` are (N, 3, H, W) RGB in 0..1. Every iteration fits one layer on 32 of their crops:
    the squared error of its output after ReLU1, with the layers before it rounded already.
    `regularisation` weighs the wish for whole steps against that error. `advance` is called after
    every iteration.
    """

    batches: Sequence[Tensor]
    iterations: int
    regularisation: float
    seed: int
    advance: Callable[[], None] = lambda: None


class Simulation:
    """A quantised network in floats, as AIMET simulates it.

    `model` maps (N, 3, H, W) RGB in 0..1 to multiples of 1/255 in 0..1. Until `settle` is called it
    rounds its float weights to nearest as it runs, passing gradients straight through, so that it
    can be trained; afterwards they lie on whole steps, and it computes what the deployed network
    does up to the rounding of its sums.
    """

    def __init__(self, model: nn.Module, strict: Any) -> None:
        self.model = model
        self._strict = strict
        self._scales: list[Tensor] = []

    def __call__(self, low_resolution: Tensor) -> Tensor:
        """Run the model; to be used while it is trained, for AIMET then warns of its own calls."""
        with _vendor_warnings_ignored():
            upscaled: Tensor = self.model(low_resolution)
        return upscaled

    @property
    def layers(self) -> list[Any]:
        """The convolutions in the order of execution; weights and biases may be changed."""
        return [module for module in self.model.modules() if isinstance(module, nn.Conv2d)]

    @property
    def activation_scales(self) -> list[float]:
        """Step of every convolution's output, in the order of execution."""
        return [float(_output(each).get_scale()) for each in _activations(self.model)]

    @torch.no_grad()
    def settle(self) -> None:
        """Put the weights on whole steps of -127..127 and remove their quantisers."""
        inputs = [1 / PIXEL_LEVELS, *self.activation_scales[:-1]]
        for conv, step in zip(self.layers, inputs, strict=True):
            scale = conv.param_quantizers["weight"].get_scale()
            # A channel of zeros needs a step, too: one that its bias can be counted in.
            smallest = conv.bias.abs().reshape(-1, 1, 1, 1) / (LARGEST_BIAS * step)
            scale = scale.clamp_min(smallest if scale.dim() else smallest.max())
            conv.weight.copy_(self._strict(scale)(conv.weight))
            conv.param_quantizers["weight"] = None
            self._scales.append(scale.expand(len(conv.weight), 1, 1, 1).flatten())
        self.model.eval().requires_grad_(requires_grad=False)

    def weights(self) -> list[QuantisedWeights]:
        """Copies of what the simulation computes with, once it is settled."""
        return [
            QuantisedWeights(
                weight=conv.weight.detach().cpu().clone(),
                bias=conv.bias.detach().cpu().clone(),
                scale=scale.detach().cpu().clone(),
                activation_scale=step,
            )
            for conv, scale, step in zip(
                self.layers, self._scales, self.activation_scales, strict=True
            )
        ]


def simulate(
    network: QuickSRNet, *, per_channel: bool = True, calibration: Sequence[Tensor] = ()
) -> Simulation:
    """Return a W8A8 simulation of `network`, which is not changed; its weights are to be settled.

    `calibration`, batches of (N, 3, H, W) RGB in 0..1, is needed for plain ReLUs only.
    Raises EngineError when AIMET is missing.
    """
    with _vendor_warnings_ignored():
        aimet = _load()
        from aimet_torch.common.defs import QuantScheme

        with _rules(per_channel=per_channel) as rules:
            sim = aimet.QuantizationSimModel(
                network,
                dummy_input=_example(network),
                quant_scheme=QuantScheme.min_max,
                default_param_bw=8,
                default_output_bw=8,
                config_file=str(rules),
            )

        def strict(scale: Tensor) -> Any:
            """A quantiser of -127..127 steps of `scale`."""
            made = aimet.quantization.affine.QuantizeDequantize(
                tuple(scale.shape), qmin=-WEIGHT_LEVELS, qmax=WEIGHT_LEVELS, symmetric=True
            ).to(scale.device)
            made.set_range(-WEIGHT_LEVELS * scale, WEIGHT_LEVELS * scale)
            return made

        with torch.no_grad():
            _fix_activations(sim, calibration)
            simulation = Simulation(sim.model, strict)
            for conv in simulation.layers:
                measured = conv.param_quantizers["weight"]
                with measured.compute_encodings():
                    measured(conv.weight)
                conv.param_quantizers["weight"] = strict(measured.get_scale())
    return simulation


def adaround(network: QuickSRNet, rounding: Rounding) -> QuickSRNet:
    """Return a copy of `network` with rounded weights, per channel, on the steps of `simulate`.

    Raises EngineError when AIMET is missing.
    """
    with _vendor_warnings_ignored():
        _load()
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
        # Its own progress bar counts layers, of which one may take minutes.
        hook = register_optimizer_step_post_hook(lambda *_: rounding.advance())
        with (
            torch.random.fork_rng(devices=[]),
            redirect_stderr(io.StringIO()),
            _rules(per_channel=True) as rules,
        ):
            torch.manual_seed(rounding.seed)
            try:
                rounded: QuickSRNet = Adaround.apply_adaround(
                    network,
                    _example(network),
                    parameters,
                    path=str(rules.parent),
                    filename_prefix="weights",
                    default_param_bw=8,
                    default_quant_scheme=QuantScheme.min_max,
                    default_config_file=str(rules),
                )
            finally:
                hook.remove()
    return rounded


def equalise(network: QuickSRNet) -> QuickSRNet:
    """Return a copy of `network` after cross-layer equalisation (Nagel et al., 2019, section 4.1).

    Equalising divides the channels of one layer and multiplies the inputs of the next, which a
    plain ReLU lets pass unchanged. ReLU1 does not: a channel that was divided clips elsewhere. So
    the copy has plain ReLUs. It computes the same where the network has them too; where activations
    reached 1 it is another, mostly worse network, and its activations leave 0..1. That is why the
    paper found the method not to work here; compare the copy with the network to see it.
    Raises EngineError when AIMET is missing.
    """
    architecture = replace(network.architecture, activation="relu")
    copy = QuickSRNet(architecture, identity=False).eval()
    copy.load_state_dict(network.state_dict())
    with _vendor_warnings_ignored():
        _load()
        from aimet_torch.cross_layer_equalization import equalize_model

        equalize_model(copy, dummy_input=_example(copy))
    return copy.to(next(network.parameters()).device)


def _fix_activations(sim: Any, calibration: Sequence[Tensor]) -> None:
    """Leave quantisers on the input, after every activation and after pooling; freeze their ranges.

    All are 0..1 but those of plain ReLUs, which are measured.
    """
    model = sim.model
    for module in model.modules():
        if getattr(module, "output_quantizers", None) is None:
            continue
        if not isinstance(module, nn.Hardtanh | nn.ReLU | nn.AvgPool2d):
            _remove(module.output_quantizers)
        if module is not model.cnn[0]:
            _remove(module.input_quantizers)
    measured = [each for each in _activations(model) if _is_unbounded(each)]
    fixed = [each for each in _activations(model) if not _is_unbounded(each)]
    pooling = [model.pool] if isinstance(model.pool, nn.AvgPool2d) else []
    for quantiser in [model.cnn[0].input_quantizers[0], *map(_output, (*fixed, *pooling))]:
        _freeze(quantiser, 1.0)
    if measured:
        sim.compute_encodings(lambda simulated: [simulated(batch) for batch in calibration])
    for quantiser in map(_output, measured):
        _freeze(quantiser, max(float(quantiser.get_max()), NARROWEST))


def _freeze(quantiser: Any, largest: float) -> None:
    quantiser.set_range(0.0, largest)
    quantiser.requires_grad_(requires_grad=False)
    quantiser.allow_overwrite(False)  # noqa: FBT003 - AIMET's signature


def _activations(model: Any) -> list[Any]:
    """What follows the convolutions, in the order of execution."""
    return [*(each for each in model.cnn if not isinstance(each, nn.Conv2d)), model.clip]


def _is_unbounded(activation: Any) -> bool:
    return isinstance(activation, nn.ReLU)


def _output(module: Any) -> Any:
    """AIMET's quantiser of a module's output."""
    return module.output_quantizers[0]


def _remove(quantisers: nn.ModuleList) -> None:
    for index in range(len(quantisers)):
        quantisers[index] = None  # type: ignore[assignment] # AIMET's sign for "not quantised"


@contextmanager
def _rules(*, per_channel: bool) -> Iterator[Path]:
    """A file of AIMET's rules, alone in a temporary folder: convolutions per channel or tensor."""
    source = files("aimet_torch.common.quantsim_config") / HEXAGON
    rules = json.loads(source.read_text(encoding="utf-8"))
    rules["op_type"]["Conv"]["per_channel_quantization"] = str(per_channel)
    with TemporaryDirectory() as folder:
        path = Path(folder) / HEXAGON
        path.write_text(json.dumps(rules), encoding="utf-8")
        yield path


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
        warnings.filterwarnings("ignore", "To copy construct from a tensor", UserWarning)
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
