from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from protocol.errors import BadRequestError, EngineError
from trainer.data import LoadedPair, load_split
from trainer.evaluate import frame_of
from trainer.export import (
    Exported,
    Provenance,
    agreement,
    describe_data,
    export_float,
    export_quantised,
    load_float_model,
    model_name,
    opened,
)
from trainer.network import Architecture, QuickSRNet
from trainer.quantise import Quantisation, Quantised, quantise, run_network
from upscaler.models.card import weights_sha256
from upscaler.models.library import open_model

needs_aimet = pytest.mark.skipif(find_spec("aimet_torch") is None, reason="AIMET is missing")
SCALES = [Fraction(2), Fraction(3, 2)]
FROM = Provenance(training="none", data="synthetic", licence="CC0-1.0")


def make_network(scale: Fraction) -> QuickSRNet:
    torch.manual_seed(1)
    return QuickSRNet(Architecture(width=8, depth=1, scale=scale)).eval()


def load(frames: Path, scale: Fraction) -> list[LoadedPair]:
    return load_split(frames, split="test", scale=scale)


def quantise_tiny(frames: Path, scale: Fraction) -> Quantised:
    pairs = load_split(frames, split="train", scale=scale)
    return quantise(make_network(scale), pairs, Quantisation(adaround_iterations=0))


def export_int8(quantised: Quantised, test: list[LoadedPair], folder: Path) -> Exported:
    return export_quantised(quantised, test, folder, FROM, quantisation="W8A8 nearest")


def test_models_are_named_after_the_paper() -> None:
    small = Architecture(width=32, depth=2)
    assert model_name(small, quantised=True) == "quicksrnet-small-x2"
    assert model_name(small, quantised=False) == "quicksrnet-small-x2-float"
    large = Architecture(width=64, depth=11, scale=Fraction(3, 2))
    assert model_name(large, quantised=True) == "quicksrnet-large-x1.5"
    assert model_name(Architecture(width=8, depth=1), quantised=True) == "quicksrnet-f8-m1-x2"


@pytest.mark.parametrize("scale", SCALES)
def test_a_float_model_gives_the_networks_pixels(
    frames: Path, tmp_path: Path, scale: Fraction
) -> None:
    network, test = make_network(scale), load(frames, scale)
    exported = export_float(network, test, tmp_path / "new", FROM)
    with opened(open_model(exported.path)) as upscale:
        for each in test:
            low = frame_of(each.low)
            difference = upscale(low).astype(int) - run_network(network, low)
            assert np.abs(difference).max() <= 1
    assert [each.name for each in (tmp_path / "new").iterdir()] == [exported.path.name]


@pytest.mark.parametrize("scale", SCALES)
def test_a_float_model_turns_back_into_its_network(
    frames: Path, tmp_path: Path, scale: Fraction
) -> None:
    network = make_network(scale)
    exported = export_float(network, load(frames, scale), tmp_path, FROM)
    loaded = load_float_model(exported.path)
    assert loaded.architecture == network.architecture
    assert not loaded.training
    for one, other in zip(loaded.parameters(), network.parameters(), strict=True):
        assert torch.equal(one, other)


@needs_aimet
@pytest.mark.parametrize("scale", SCALES)
def test_an_int8_model_gives_the_simulations_pixels(
    frames: Path, tmp_path: Path, scale: Fraction
) -> None:
    quantised, test = quantise_tiny(frames, scale), load(frames, scale)
    exported = export_int8(quantised, test, tmp_path)
    assert exported.agreement >= 0.999
    assert exported.path.name == f"quicksrnet-f8-m1-x{float(scale):g}.onnx"
    with pytest.raises(BadRequestError, match="is quantised; name its float original"):
        load_float_model(exported.path)


@needs_aimet
def test_the_card_says_what_was_measured_on_the_file(frames: Path, tmp_path: Path) -> None:
    quantised, test = quantise_tiny(frames, Fraction(2)), load(frames, Fraction(2))
    exported = export_int8(quantised, test, tmp_path)
    model = open_model(exported.path)
    assert model.card == exported.card
    assert model.card.quantised
    assert model.card.weights_sha256 == weights_sha256(model.proto())
    assert model.card.psnr_db["mean"] == pytest.approx(exported.evaluation.mean_db, abs=6e-4)
    assert set(model.card.psnr_db) == {"boards", "slopes", "mean"}
    described = (model.card.width, model.card.depth, model.card.ratio, model.card.data)
    assert described == (8, 1, 2, "synthetic")


@needs_aimet
def test_a_model_that_disagrees_with_the_simulation_is_not_written(
    frames: Path, tmp_path: Path
) -> None:
    quantised = quantise_tiny(frames, Fraction(2))
    quantised.layers[0].bias[:] += 0.05
    with pytest.raises(EngineError, match=r"was not written: only .* within 1 level"):
        export_int8(quantised, load(frames, Fraction(2)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadRequestError, match=r"cannot write .*float\.onnx"):
        export_float(make_network(Fraction(2)), load(frames, Fraction(2)), tmp_path / "file", FROM)


def test_agreement_counts_values_within_one_level(frames: Path) -> None:
    def dark(frame: np.ndarray) -> np.ndarray:
        return np.zeros_like(frame)

    def striped(frame: np.ndarray) -> np.ndarray:
        off = np.zeros_like(frame)
        off[:, :, 0], off[:, :, 1] = 1, 2
        return off

    assert agreement(dark, striped, load(frames, Fraction(2))) == pytest.approx(2 / 3)


def test_data_is_described_with_its_licences(frames: Path) -> None:
    described = describe_data(load(frames, Fraction(2)))
    assert described == "3 pairs of native renders: boards (CC0-1.0), slopes (CC0-1.0)"
