from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

if not find_spec("aimet_torch"):
    pytest.skip("AIMET is missing", allow_module_level=True)

from trainer.network import Architecture
from trainer.quantise import METHODS
from trainer.recipes import find_recipe
from trainer.store import Store
from trainer.train import Trainer
from upscaler.models.library import open_model

SHORT = ("--adaround-iterations", "3", "--qat-iterations", "2", "--calibration-batches", "1")
SMALLEST = ("--qat-batch", "2", "--qat-patch", "16", *SHORT)


def train(store: Path, folder: Path, **options: object) -> Path:
    """Two steps of training; returns the checkpoint."""
    recipe = replace(find_recipe("fast"), iterations=2, batch=2, patch=16)
    architecture = Architecture(width=8, depth=1, scale=Store(store).scale, **options)
    trainer = Trainer(recipe, architecture, Store(store))
    for _ in range(recipe.iterations):
        trainer.step()
    trainer.save(folder / "checkpoint.pt")
    return folder / "checkpoint.pt"


@pytest.fixture
def checkpoint(store_x2: Path, tmp_path: Path) -> Path:
    return train(store_x2, tmp_path / "run")


def test_from_a_checkpoint_to_a_measured_int8_model(
    run_trainer: Callable, checkpoint: Path, store_x2: Path, tmp_path: Path
) -> None:
    command = ("quantise", "--checkpoint", checkpoint, "--data", store_x2, "--out", tmp_path)
    done = run_trainer(*command, *SMALLEST)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for word in ("bicubic", "float", "int8", "boards", "slopes", "dB below float"):
        assert word in done.stdout
    card = open_model(tmp_path / "quicksrnet-f8-m1-x2.onnx").card
    assert card.quantisation == "W8A8, int8 weights per channel (AdaRound, 3 iterations a layer)"
    assert "recipe fast, 2 iterations" in card.training
    assert card.data == "4 pairs of native renders: boards (CC0-1.0)"
    assert set(card.psnr_db) == {"boards", "slopes", "mean"}
    assert open_model(tmp_path / "quicksrnet-f8-m1-x2-float.onnx").card.quantisation == "none"


def test_all_methods_are_compared_and_the_best_is_written(
    train_here: Callable, checkpoint: Path, store_x2: Path, tmp_path: Path
) -> None:
    command = ("quantise", "--checkpoint", checkpoint, "--data", store_x2, "--out", tmp_path)
    done = train_here(*command, "--method", "all", "--equalise", "--correct-bias", *SMALLEST)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "2 frames of the split 'validation'" in said
    table = said.split("'validation'")[1].split("best: ")[0]
    cells = [line.split("│")[1:-1] for line in table.splitlines() if line.startswith("│")]
    means = {name.strip(): (float(mean), float(below)) for name, *_, mean, below in cells}
    assert list(means) == ["float", "float, equalised", *METHODS]
    for mean, below in means.values():
        assert below == pytest.approx(means["float"][0] - mean, abs=2e-3)
    best = said.split("best: ")[1].split()[0]
    assert means[best][0] == max(means[name][0] for name in METHODS)
    card = open_model(tmp_path / "quicksrnet-f8-m1-x2.onnx").card
    assert "after cross-layer equalisation, biases corrected" in card.quantisation
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"run", "quicksrnet-f8-m1-x2.onnx", "quicksrnet-f8-m1-x2-float.onnx"}


def test_a_residual_has_a_float_model_only(
    assert_refused: Callable, train_here: Callable, store_x2: Path, tmp_path: Path
) -> None:
    checkpoint = train(store_x2, tmp_path / "run", residual=True)
    command = ["quantise", "--checkpoint", checkpoint, "--data", store_x2, "--out", tmp_path]
    assert_refused(command, "a network with a residual has no int8 graph")
    assert train_here(*command, "--method", "none").returncode == 0
    left = {each.name for each in tmp_path.glob("*.onnx")}
    assert left == {"quicksrnet-f8-m1-residual-x2-float.onnx"}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--checkpoint", "absent.pt"], ["cannot read the checkpoint absent.pt"]),
        (["--method", "int4"], ["unknown method 'int4'; choose one of ptq-per-tensor"]),
        (["--method", "none", "--method", "adaround"], ["--method none stands alone"]),
        (["--qat-loss", "vgg"], ["unknown loss 'vgg'; choose one of l1, mse"]),
        (["--qat-rate", "0"], ["a learning rate in 0..1"]),
        (["--device", "npu"], ["unknown device 'npu'"]),
        (["--data", "."], ["no prepared store", "upscaler-train prepare"]),
    ],
    ids=lambda value: "-".join(value) if value[0].startswith("--") else "",
)
def test_errors_are_one_line(
    assert_refused: Callable,
    checkpoint: Path,
    store_x2: Path,
    *,
    arguments: list[str],
    parts: list[str],
) -> None:
    defaults = {"--checkpoint": checkpoint, "--data": store_x2, "--out": "made"}
    rest = [each for option in defaults.items() if option[0] not in arguments for each in option]
    assert_refused(["quantise", *arguments, *rest], *parts)


def test_the_store_must_be_of_the_networks_scale(
    assert_refused: Callable, checkpoint: Path, store_x15: Path
) -> None:
    command = ["quantise", "--checkpoint", checkpoint, "--data", store_x15, "--out", "made"]
    assert_refused(command, "is a network for 2x", "holds pairs for 3/2x")
