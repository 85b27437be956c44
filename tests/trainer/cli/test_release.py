from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import msgspec
import onnx
import pytest

from upscaler.models.card import attach_card
from upscaler.models.library import Model

pytest.importorskip("torch")


def renamed(model: Model, name: str, folder: Path) -> Path:
    """Write a model under a name of its own, as `quantise` does."""
    proto = model.proto()
    attach_card(proto, msgspec.structs.replace(model.card, name=name))
    path = folder / f"{name}.onnx"
    onnx.save_model(proto, path)
    return path


@pytest.fixture
def models(make_model: Callable[..., Model], tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    renamed(make_model(Fraction(2), quantised=False), "mine-float", folder)
    return renamed(make_model(Fraction(2)), "mine", folder)


def test_a_model_below_fsr1_is_refused(
    train_here: Callable, models: Path, store_x2: Path, tmp_path: Path
) -> None:
    done = train_here("release", "--model", models, "--data", store_x2, "--out", "released")
    assert done.returncode == 1
    assert "bicubic" in done.stdout
    reasons = done.stderr.splitlines()
    assert all(line.startswith("upscaler-train: refused: mine ") for line in reasons)
    assert any("does not beat bicubic on held-out scenes" in line for line in reasons)
    assert not (tmp_path / "released").exists()


def test_a_missing_original_is_named(
    assert_refused: Callable, models: Path, store_x2: Path
) -> None:
    models.with_name("mine-float.onnx").unlink()
    arguments = ["release", "--model", models, "--data", store_x2, "--out", "released"]
    assert_refused(arguments, "no model file", "mine-float.onnx")


def test_a_split_that_is_not_there_is_named(
    assert_refused: Callable, models: Path, store_x2: Path
) -> None:
    arguments = ["release", "--model", models, "--data", store_x2, "--split", "other"]
    assert_refused([*arguments, "--out", "released"], "no pair of split 'other'; it has test")
