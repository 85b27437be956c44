from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from protocol.errors import BadImageError, BadRequestError
from trainer.network import Activation, Architecture, Head, QuickSRNet
from trainer.quantise import METHODS, Quantisation, Quantised, quantise, run_network
from trainer.store import Store

needs_aimet = pytest.mark.skipif(find_spec("aimet_torch") is None, reason="AIMET is missing")
SCALES = [Fraction(2), Fraction(3, 2)]
QUICK = Quantisation(
    adaround_iterations=40,
    batches=2,
    qat_iterations=4,
    qat_batch=2,
    qat_patch=16,
    qat_rate=1e-4,
    calibration_batches=1,
    calibration_patch=32,
)
NEAREST = replace(QUICK, method="ptq-per-channel")


@pytest.fixture
def stores(store_x2: Path, store_x15: Path) -> dict[Fraction, Store]:
    return dict(zip(SCALES, map(Store, (store_x2, store_x15)), strict=True))


def make_network(
    scale: Fraction,
    *,
    seed: int = 1,
    head: Head = "space-to-depth",
    activation: Activation = "relu1",
    residual: bool = False,
) -> QuickSRNet:
    torch.manual_seed(seed)
    architecture = Architecture(
        width=8, depth=1, scale=scale, head=head, activation=activation, residual=residual
    )
    return QuickSRNet(architecture).eval()


def by_hand(quantised: Quantised, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same network in float64, from nothing but the layers for the graph."""
    scale, pooled = quantised.architecture.scale, quantised.architecture.head == "pooled"
    levels, step = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].double(), 1 / 255
    for layer in quantised.layers:
        if layer is quantised.layers[-1] and scale.denominator > 1 and not pooled:
            levels = functional.pixel_unshuffle(levels, scale.denominator)
        weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
        padding = weight.shape[-1] // 2
        summed = functional.conv2d(levels * step, weight.double(), bias.double(), padding=padding)
        step = layer.activation_scale
        levels = (summed / step).round().clamp(0, 255)
    upscaled = functional.pixel_shuffle(levels, scale.numerator)
    if pooled:
        upscaled = functional.avg_pool2d(upscaled, 2).round()
    return upscaled[0].permute(1, 2, 0).to(torch.uint8).numpy()


def assert_eight_bits(quantised: Quantised, store: Store) -> None:
    frame = store.pairs("test")[0].low
    simulated = run_network(quantised.simulation.model, frame)
    difference = np.abs(simulated.astype(int) - by_hand(quantised, frame))
    if quantised.architecture.head == "pooled":
        # The mean of four integers lies halfway between two of them one time in four.
        assert np.count_nonzero(difference) < 0.25 * difference.size
        difference[difference == 1] = 0
    # Where float32 and float64 round a tie apart; the layers behind it may double that.
    assert difference.max() <= 2
    assert np.count_nonzero(difference) < 0.001 * difference.size


@needs_aimet
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", METHODS)
def test_the_simulation_is_eight_bits_from_end_to_end(
    stores: dict[Fraction, Store], scale: Fraction, method: str
) -> None:
    how = replace(QUICK, method=method)
    quantised = quantise(make_network(scale), stores[scale], how)
    assert_eight_bits(quantised, stores[scale])
    for layer in quantised.layers:
        assert layer.weight_scale is not None
        steps = layer.weight / layer.weight_scale[:, None, None, None]
        assert np.abs(steps - np.rint(steps)).max() < 1e-3
        assert np.abs(steps).max() < 127.001
        assert layer.activation_scale == pytest.approx(1 / 255)
        assert (len(set(layer.weight_scale.tolist())) == 1) is not how.per_channel


@needs_aimet
@pytest.mark.parametrize("options", [{"head": "pooled"}, {"activation": "relu"}], ids=str)
@pytest.mark.parametrize("correct_bias", [True, False])
def test_variants_are_eight_bits_too(
    stores: dict[Fraction, Store], options: dict[str, str], *, correct_bias: bool
) -> None:
    scale = Fraction(3, 2)
    network = make_network(scale, **options)
    quantised = quantise(network, stores[scale], replace(NEAREST, correct_bias=correct_bias))
    assert_eight_bits(quantised, stores[scale])
    assert quantised.architecture == network.architecture


@needs_aimet
@pytest.mark.parametrize("method", ["ptq-per-tensor", "adaround", "qat-per-channel"])
def test_equalisation_gives_activations_scales_of_their_own(
    stores: dict[Fraction, Store], method: str
) -> None:
    store, network = stores[Fraction(2)], make_network(Fraction(2))
    how = replace(QUICK, method=method, equalise=True)
    quantised = quantise(network, store, how)
    assert_eight_bits(quantised, store)
    *hidden, last = (layer.activation_scale for layer in quantised.layers)
    assert last == pytest.approx(1 / 255)
    assert all(abs(255 * scale - 1) > 0.01 for scale in hidden)
    # The network keeps its name: its clips went with the equalisation only.
    assert quantised.architecture.activation == "relu1"
    assert quantised.original.architecture.activation == "relu"


@needs_aimet
@pytest.mark.parametrize("method", METHODS)
def test_it_reproduces_and_leaves_the_network_and_torch_alone(
    stores: dict[Fraction, Store], method: str
) -> None:
    network, store = make_network(Fraction(2)), stores[Fraction(2)]
    how = replace(QUICK, method=method, correct_bias=True)
    before = [each.detach().clone() for each in network.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = quantise(network, store, how)
    assert torch.rand(1) == expected
    second = quantise(network, store, how)
    for one, other in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(one.weight, other.weight)
        assert np.array_equal(one.bias, other.bias)
    assert all(map(torch.equal, before, network.parameters()))
    assert all(each.requires_grad for each in network.parameters())


@needs_aimet
def test_adaround_rounds_elsewhere_than_to_nearest(stores: dict[Fraction, Store]) -> None:
    network, store = make_network(Fraction(2)), stores[Fraction(2)]
    nearest, rounded = (quantise(network, store, how) for how in (NEAREST, QUICK))
    moved = 0
    for conv, one, other in zip(network.convolutions, nearest.layers, rounded.layers, strict=True):
        assert one.weight_scale is not None
        steps = one.weight_scale[:, None, None, None]
        original = conv.weight.detach().numpy()
        assert np.abs((one.weight - original) / steps).max() < 0.501
        # Up or down, and never further.
        assert np.abs((other.weight - original) / steps).max() < 1.001
        assert np.array_equal(one.bias, other.bias)
        moved += np.count_nonzero(one.weight != other.weight)
    assert moved > 0


@needs_aimet
@pytest.mark.parametrize(
    ("method", "what", "total"),
    [("adaround", "AdaRound", 40 * 3), ("qat-per-tensor", "QAT", 4)],
)
def test_progress_is_told(
    store_x2: Path, method: str, what: str, total: int, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, int, int]] = []
    quantise(
        make_network(Fraction(2)),
        Store(store_x2),
        replace(QUICK, method=method),
        lambda *each: told.append(each),
    )
    assert told == [(what, done, total) for done in range(1, total + 1)]
    assert capfd.readouterr() == ("", "")


def test_a_residual_is_refused(store_x2: Path) -> None:
    with pytest.raises(BadRequestError, match="a network with a residual has no int8 graph"):
        quantise(make_network(Fraction(2), residual=True), Store(store_x2), NEAREST)


@needs_aimet
def test_crops_larger_than_a_frame_are_refused(store_x2: Path) -> None:
    with pytest.raises(BadImageError, match="smaller than the training patch of 400"):
        quantise(make_network(Fraction(2)), Store(store_x2), replace(QUICK, patch=400))


def test_a_network_runs_on_frames() -> None:
    network = make_network(Fraction(2))
    frame = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
    frame.flags.writeable = False
    upscaled = run_network(network, frame)
    low = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255
    assert upscaled.shape == (18, 14, 3)
    assert upscaled.dtype == np.uint8
    exact = 255 * network(low)[0].permute(1, 2, 0).detach().numpy()
    assert np.abs(upscaled - exact).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(
    ("how", "summary"),
    [
        (NEAREST, "W8A8, int8 weights per channel (nearest)"),
        (
            Quantisation(),
            "W8A8, int8 weights per channel (AdaRound, 10000 iterations a layer)",
        ),
        (
            Quantisation(method="qat-per-tensor", qat_iterations=7, equalise=True),
            "W8A8, int8 weights per tensor (QAT, 7 iterations at 4e-06, mse), after cross-layer "
            + "equalisation",
        ),
        (
            Quantisation(method="ptq-per-tensor", correct_bias=True),
            "W8A8, int8 weights per tensor (nearest), biases corrected",
        ),
    ],
)
def test_the_summary_says_how(how: Quantisation, summary: str) -> None:
    assert how.summary == summary


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "int4"}, "unknown method 'int4'; choose one of ptq-per-tensor"),
        ({"qat_loss": "vgg"}, "unknown loss 'vgg'; choose one of l1, mse"),
        ({"adaround_iterations": 0}, "at least one"),
        ({"calibration_batches": 0}, "at least one"),
        ({"patch": 0}, "at least one"),
        ({"qat_rate": 0.0}, "a learning rate in 0..1"),
        ({"qat_rate": float("nan")}, "a learning rate in 0..1"),
        ({"regularisation": -1.0}, "a regularisation not below 0"),
    ],
)
def test_refuses_impossible_settings(options: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        Quantisation(**options)
