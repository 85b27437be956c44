from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from upscaler.images import write_image

INT8, FLOAT = "quicksrnet-small-x2", "quicksrnet-small-x2-float"


@pytest.fixture
def evaluate(train_here: Callable) -> Callable[..., str]:
    """Run the command in this process; return what it prints."""

    def run(*arguments: str | Path) -> str:
        done = train_here("evaluate", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def standard_set(tmp_path: Path) -> Path:
    """Two pairs named as in Set5, all of them noise."""
    random = np.random.default_rng(1)
    for name in ("one", "two"):
        low = random.integers(0, 256, (16, 20, 3), np.uint8)
        write_image(tmp_path / f"{name}_LR.png", low)
        write_image(tmp_path / f"{name}_HR.png", low.repeat(2, axis=0).repeat(2, axis=1))
    return tmp_path


@pytest.fixture
def with_sequence(frames: Path, tmp_path: Path) -> Path:
    """The frames of `frames`, those of the test split as one sequence too."""
    entries = json.loads((frames / "manifest.json").read_text(encoding="utf-8"))
    for entry in entries:
        entry["file"] = str(frames / entry["file"])
    moving = [
        {**entry, "split": "sequence", "pair": f"seq/{entry['file']}"[:-7], "scene": "seq"}
        | {"game": "boards", "pair": f"seq/{entry['pair']}"}
        for entry in entries
        if entry["split"] == "test"
    ]
    (tmp_path / "manifest.json").write_text(json.dumps(entries + moving), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--model", "dlss"], ["unknown model 'dlss'"]),
        (["--model", "absent.onnx"], ["no model file absent.onnx"]),
        (["--filter", "dlss"], ["unknown method 'dlss'; choose one of fsr1, easu"]),
        (["--model", INT8, "--engine", "tpu"], ["unknown engine 'tpu'"]),
        (["--model", INT8, "--scale", "1.5"], [f"{INT8} upscales by 2, not by 3/2"]),
        (["--scale", "7"], ["7"]),
        (["--split", "validation"], ["no pair of split 'validation'"]),
        (["--sequences"], ["no pair of split 'sequence'"]),
        (["--shave", "500"], ["cannot be scored: cannot shave 500 pixels off each side"]),
        (["--json", "absent/report.json"], ["cannot write absent/report.json"]),
        (["--data", "."], ["manifest.json"]),
    ],
    ids=lambda value: "-".join(value) if value[0].startswith("--") else "",
)
def test_errors_are_one_line(
    assert_refused: Callable, frames: Path, *, arguments: list[str], parts: list[str]
) -> None:
    data = [] if "--data" in arguments else ["--data", frames]
    assert_refused(["evaluate", *arguments, *data], *parts)


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is missing")
def test_a_missing_checkpoint_is_named(assert_refused: Callable, frames: Path) -> None:
    assert_refused(["evaluate", "--model", "absent.pt", "--data", frames], "absent.pt")


def test_filters_alone_are_compared_at_2x(evaluate: Callable[..., str], frames: Path) -> None:
    said = evaluate("--data", frames)
    assert f"{frames.name}, split 'test' at 2x, 3 frames, whole frames" in said
    assert "2 pixels shaved off each side" in said
    for word in ("PSNR RGB", "PSNR Y", "SSIM RGB", "SSIM Y", "bicubic", "fsr1", "boards", "slopes"):
        assert word in said
    assert "FLIP │" not in said
    assert "flicker │" not in said


def test_models_on_engines_with_every_number_in_a_file(
    evaluate: Callable[..., str], frames: Path, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    models = ["--model", INT8, "--model", FLOAT]
    engines = ["--engine", "openvino", "--engine", "onnxruntime"]
    said = evaluate("--data", frames, *models, *engines, "--shave", "3", "--json", path)
    assert "3 pixels shaved" in said
    assert "whole frames" not in said
    written = json.loads(path.read_text(encoding="utf-8"))
    assert [method["label"] for method in written["methods"]] == [
        "bicubic",
        "fsr1",
        f"{INT8} (int8, openvino)",
        f"{INT8} (int8, onnxruntime)",
        f"{FLOAT} (float32, openvino)",
        f"{FLOAT} (float32, onnxruntime)",
    ]
    for method in written["methods"]:
        assert len(method["scores"][0]["frames"]) == 3
        assert f"{method['scores'][0]['mean']['psnr_db']:.3f}" in said
    assert written["differences"]["to"] == "bicubic"


def test_an_engine_that_was_named_twice_runs_once(
    evaluate: Callable[..., str], frames: Path, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    twice = ["--engine", "onnxruntime", "--engine", "onnxruntime"]
    evaluate("--data", frames, "--model", INT8, *twice, "--json", path)
    assert len(json.loads(path.read_text(encoding="utf-8"))["methods"]) == 3


def test_flicker_of_the_sequences(evaluate: Callable[..., str], with_sequence: Path) -> None:
    path = with_sequence / "report.json"
    said = evaluate("--data", with_sequence, "--sequences", "--json", path, "--limit", "2")
    assert "flicker" in said
    written = json.loads(path.read_text(encoding="utf-8"))
    assert len(written["methods"][0]["flicker"]["steps"]) == 1
    assert written["frames"] == 2


def test_flip_of_a_standard_set_at_its_own_scale(
    evaluate: Callable[..., str], standard_set: Path
) -> None:
    path = standard_set / "report.json"
    said = evaluate("--data", standard_set, "--flip", "--filter", "nearest", "--json", path)
    assert "FLIP" in said
    (nearest,) = json.loads(path.read_text(encoding="utf-8"))["methods"]
    whole, _ = nearest["scores"]
    assert [frame["flip"] for frame in whole["frames"]] == [0, 0]
    assert [frame["psnr_db"] for frame in whole["frames"]] == [None, None]  # infinite
    assert [frame["name"] for frame in whole["frames"]] == ["one", "two"]


def test_needs_no_torch(run_trainer: Callable, standard_set: Path) -> None:
    done = run_trainer("evaluate", "--data", standard_set, "--model", INT8, torch=False)
    assert done.returncode == 0, done.stderr
    assert INT8 in done.stdout
    refused = run_trainer("evaluate", "--data", standard_set, "--model", "a.pt", torch=False)
    assert refused.returncode == 2
    assert "this command needs PyTorch" in refused.stderr


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is missing")
def test_a_checkpoint_is_evaluated_like_a_model(
    train_here: Callable, evaluate: Callable[..., str], store_x2: Path, tmp_path: Path
) -> None:
    options = ["--architecture", "f8-m1", "--batch", "2", "--patch", "16", "--iterations", "2"]
    trained = train_here(
        "train", "--data", store_x2, *options, "--threads", "1", "--out", tmp_path / "run"
    )
    assert trained.returncode == 0, trained.stderr
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    assert "float32, torch" in evaluate("--data", store_x2, "--model", checkpoint)
