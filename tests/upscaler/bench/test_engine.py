from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench import floor
from upscaler.bench.engine import Contestant, _multiply_adds, _over_floor, measure, run
from upscaler.bench.frames import game_frame
from upscaler.catalogue import Catalogue
from upscaler.filters.library import make_filter


def contestant(times_ms: list[float], multiply_adds: float) -> Contestant:
    upscaler = make_filter("nearest", Size(8, 4), Size(16, 8), PixelFormat.RGB8)
    result = np.zeros(upscaler.output_shape, np.uint8)
    return Contestant(
        label="nearest",
        upscaler=upscaler,
        result=result,
        multiply_adds=multiply_adds,
        times_ms=times_ms,
        cpu_times_ms=[2 * each for each in times_ms],
    )


def test_prints_the_floor_with_its_formula(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "TURNS", 1000)
    run(
        size=(64, 36),
        scale="2",
        pixel_format="rgba8",
        engines=["openvino", "onnxruntime"],
        rounds=3,
        threads=1,
    )
    printed = " ".join(capsys.readouterr().out.split())
    found = re.search(
        r"floor: 22,752 multiply-adds per pixel x 2,304 pixels / ([\d.]+) billion per second",
        printed,
    )
    assert found is not None, printed
    assert "peak of 1 threads, int8 matrix product" in printed


def test_chosen_methods_take_turns_on_every_engine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "TURNS", 1000)
    run(
        size=(64, 36),
        scale="2",
        pixel_format="rgb8",
        engines=["openvino", "onnxruntime"],
        methods=["quicksrnet-small", "fsr1:denoise", "quicksrnet-medium"],
        rounds=3,
        threads=1,
    )
    printed = capsys.readouterr().out
    named = re.findall(r"^│ (\S+ \w+)", printed, flags=re.MULTILINE)
    assert named == [
        "quicksrnet-small openvino",
        "quicksrnet-medium openvino",
        "quicksrnet-small onnxruntime",
        "quicksrnet-medium onnxruntime",
        "fsr1:denoise numba",
    ]
    assert printed.count("multiply-adds per pixel") == 2


def test_multiply_adds_are_of_the_model_in_rgb() -> None:
    catalogue = Catalogue()
    assert _multiply_adds(catalogue, "quicksrnet-small", Fraction(2)) == 22_752
    assert _multiply_adds(catalogue, "quicksrnet-small", Fraction(3, 2)) == 20_160
    assert _multiply_adds(catalogue, "fsr1:denoise", Fraction(2)) == 0


def test_over_the_floor() -> None:
    # 1,000 multiply-adds for each of 32 pixels: 1 ms at 32 million per second, 2 ms at 16.
    each = contestant([2.0, 4.0, 3.0], multiply_adds=1000)
    # Two threads of as much CPU time each.
    assert _over_floor(each, Size(8, 4), [16e6, 32e6, 16e6, 16e6], 2) == ["3.00", "2.00"]
    assert _over_floor(contestant([1.0], 0), Size(8, 4), [1.0, 1.0], 1) == ["", ""]


def test_every_round_runs_each_once_after_what_comes_between() -> None:
    pair = [contestant([], 0), contestant([], 0)]
    calls: list[int] = []
    frame = game_frame(Size(8, 4), PixelFormat.RGB8)
    measure(pair, frame, 3, between=lambda: calls.append(len(pair[0].times_ms)))
    assert calls == [0, 0, 1, 2]
    assert all(
        len(each.times_ms) == len(each.cpu_times_ms) == 3 and each.first_ms > 0 for each in pair
    )
