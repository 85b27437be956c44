from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from protocol.errors import BadRequestError
from trainer.evaluate import Evaluation, FrameScore
from trainer.release import Candidate, card_text, check_pair, objections, release
from upscaler.models.library import Model

MakeModel = Callable[..., Model]


def scored(psnr: float) -> Evaluation:
    return Evaluation(frames=[FrameScore(name="a", game="g", psnr_db=psnr)])


@pytest.fixture
def models(make_model: MakeModel) -> tuple[Model, Model]:
    return make_model(Fraction(2)), make_model(Fraction(2), quantised=False)


def candidate(
    models: tuple[Model, Model], *, int8: float, floating: float, bicubic: float, fsr1: float
) -> Candidate:
    return Candidate(
        quantised=models[0],
        original=models[1],
        measured=scored(int8),
        original_measured=scored(floating),
        rivals={"bicubic": scored(bicubic), "fsr1": scored(fsr1)},
    )


def test_a_model_that_earns_it_is_released(models: tuple[Model, Model], tmp_path: Path) -> None:
    good = candidate(models, int8=32.0, floating=32.05, bicubic=31.4, fsr1=31.2)
    assert objections(good) == []
    written = release(good, tmp_path / "out")
    assert [path.suffix for path in written] == [".onnx", ".onnx", ".md"]
    assert written[0].read_bytes() == models[0].path.read_bytes()
    text = written[2].read_text()
    assert models[0].card.weights_sha256 in text
    assert "| int8 | 32.000 | 32.000 |" in text
    assert text == card_text(good)


@pytest.mark.parametrize(
    ("numbers", "reasons"),
    [
        ({"int8": 31.3}, ["does not beat bicubic on held-out scenes: 31.300 dB against 31.400"]),
        ({"int8": 31.4}, ["does not beat bicubic"]),
        ({"int8": 31.0}, ["does not beat bicubic", "does not beat fsr1"]),
        ({"floating": 32.2}, ["loses 0.200 dB to quantisation, more than 0.1 dB"]),
        ({"floating": 32.09}, []),
    ],
)
def test_every_reason_is_said(
    models: tuple[Model, Model], numbers: dict[str, float], reasons: list[str]
) -> None:
    base = {"int8": 32.0, "floating": 32.0, "bicubic": 31.4, "fsr1": 31.2}
    if "int8" in numbers:
        base["floating"] = numbers["int8"]
    found = objections(candidate(models, **{**base, **numbers}))
    assert len(found) == len(reasons)
    for each, reason in zip(found, reasons, strict=True):
        assert reason in each


def test_two_float_models_are_no_pair(models: tuple[Model, Model]) -> None:
    with pytest.raises(BadRequestError, match="a quantised model and its float original"):
        check_pair(models[1], models[1])


def test_models_of_other_training_are_no_pair(models: tuple[Model, Model]) -> None:
    card = msgspec.structs.replace(models[1].card, training="something else")
    with pytest.raises(BadRequestError, match="is not the float original of"):
        check_pair(models[0], Model(card=card, path=models[1].path))
    check_pair(*models)


def test_a_folder_that_cannot_be_made_is_named(models: tuple[Model, Model], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    good = candidate(models, int8=32.0, floating=32.0, bicubic=31.4, fsr1=31.2)
    with pytest.raises(BadRequestError, match=r"cannot write .*file"):
        release(good, tmp_path / "file" / "out")
