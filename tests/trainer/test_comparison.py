from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadImageError, BadRequestError
from trainer.comparison import (
    Compared,
    compare,
    count_work,
    difference,
    flicker_difference,
    metrics_of,
    report,
    write_report,
)
from trainer.data import load_pairs
from trainer.evaluate import evaluate_filter
from trainer.methods import Method, filter_method
from trainer.store import FramePair

TWO = Fraction(2)


@pytest.fixture(scope="module")
def pairs(frames: Path) -> list[FramePair]:
    return load_pairs(frames, split="test", scale=TWO)


@pytest.fixture(scope="module")
def methods() -> list[Method]:
    return [filter_method(name, TWO) for name in ("nearest", "bicubic")]


@pytest.fixture(scope="module")
def compared(methods: list[Method], pairs: list[FramePair]) -> list[Compared]:
    return compare(methods, pairs, shaves=[0, 2], sequences=[pairs])


def test_every_method_meets_every_frame(compared: list[Compared], pairs: list[FramePair]) -> None:
    for each in compared:
        assert [evaluation.shave for evaluation in each.evaluations] == [0, 2]
        for evaluation in each.evaluations:
            expected = evaluate_filter(each.method.name, pairs, TWO, shave=evaluation.shave)
            assert evaluation.values("psnr_db") == expected.values("psnr_db")
            assert metrics_of(evaluation) == ["psnr_db", "psnr_y_db", "ssim_rgb", "ssim_y"]


def test_work_is_counted_as_it_is_done(methods: list[Method], pairs: list[FramePair]) -> None:
    told: list[None] = []
    compare(methods, pairs, sequences=[pairs[:2]], advance=lambda: told.append(None))
    assert len(told) == count_work(methods, pairs, [pairs[:2]]) == 2 * 3 + 2 * 1


def test_differences_are_paired(compared: list[Compared]) -> None:
    nearest, bicubic = (each.evaluations[0] for each in compared)
    change = difference(bicubic, nearest, "psnr_db")
    apart = np.subtract(bicubic.values("psnr_db"), nearest.values("psnr_db"))
    assert change.mean == pytest.approx(bicubic.mean_db - nearest.mean_db)
    assert apart.min() <= change.low <= change.mean <= change.high <= apart.max()
    same = difference(nearest, nearest, "ssim_y")
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_flicker_is_compared_step_by_step(compared: list[Compared]) -> None:
    nearest, bicubic = compared
    change = flicker_difference(bicubic, nearest)
    assert change.mean == pytest.approx(bicubic.mean_flicker - nearest.mean_flicker)


def test_flicker_that_was_not_measured_is_an_error(
    methods: list[Method], pairs: list[FramePair]
) -> None:
    (plain, _) = compare(methods, pairs[:2])
    with pytest.raises(ValueError, match="give compare some sequences"):
        plain.mean_flicker  # noqa: B018


def test_flip_is_measured_once(methods: list[Method], pairs: list[FramePair]) -> None:
    (nearest, bicubic) = compare(methods, pairs[:1], shaves=[0, 2], flip=True)
    for each in (nearest, bicubic):
        assert metrics_of(each.evaluations[0])[-1] == "flip"
        assert "flip" not in metrics_of(each.evaluations[1])
        assert 0 < each.evaluations[0].mean("flip") < 1


def test_a_frame_that_cannot_be_scored_is_named(
    methods: list[Method], pairs: list[FramePair]
) -> None:
    with pytest.raises(BadImageError, match=rf"{pairs[0].name} cannot be scored"):
        compare(methods, pairs, shaves=[100])


def test_the_report_holds_every_number(compared: list[Compared], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(path, report(compared, data="frames", split="test", scale="2"))
    written = json.loads(path.read_text(encoding="utf-8"))
    assert (written["data"], written["split"], written["scale"]) == ("frames", "test", "2")
    assert written["differences"]["to"] == "nearest"
    bicubic = written["methods"][1]
    assert (bicubic["label"], bicubic["engine"], bicubic["emulated"]) == ("bicubic", "cpu", False)
    whole, shaved = bicubic["scores"]
    assert (whole["shave"], shaved["shave"]) == (0, 2)
    expected = compared[1].evaluations[1]
    assert [each["ssim_y"] for each in shaved["frames"]] == expected.values("ssim_y")
    assert shaved["mean"]["ssim_y"] == expected.mean("ssim_y")
    assert set(whole["by_game"]["psnr_db"]) == {"boards", "slopes"}
    change = whole["difference"]["psnr_db"]
    assert change["low"] <= change["mean"] <= change["high"]
    steps = bicubic["flicker"]["steps"]
    assert [step["levels"] for step in steps] == [step.levels for step in compared[1].flicker]
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_a_report_that_cannot_be_written_is_an_error(
    compared: list[Compared], tmp_path: Path
) -> None:
    with pytest.raises(BadRequestError, match=r"cannot write .*absent"):
        write_report(tmp_path / "absent" / "report.json", report(compared))
