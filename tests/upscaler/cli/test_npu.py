"""`upscaler npu certify` as users meet it; on x86_64 the NPU is emulated."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from upscaler.engines.certificate import Certificate
from upscaler.models.library import Model, find_model

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")

EMULATED = platform.machine().lower() in ("x86_64", "amd64")


def certify(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upscaler", "npu", "certify", "--size", "64x36"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "120"},  # fewer would break the table's headings
    )


def test_a_method_as_text_and_as_json(tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    done = certify("--model", "quicksrnet-small", "--scale", "1.5", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "4 Conv2d, 1 DepthToSpace and nothing else; no node on the CPU" in done.stdout
    found = msgspec.json.decode(out.read_bytes(), type=Certificate)
    assert found.model == "quicksrnet-small-x1.5"
    assert found.weights_sha256 == find_model(found.model).card.weights_sha256
    assert (found.input_size, found.output_size) == ("64x36", "96x54")
    assert found.operators[-2].stride == (2, 2)
    for operator in found.operators:
        assert operator.name in done.stdout
        assert f"{operator.cycles:,}" in done.stdout
    for library, version in found.libraries.items():
        assert f"{library} {version}" in done.stdout
    assert "low_resolution, ufixed8 1x36x64x3, 6912 bytes" in done.stdout
    assert found.emulated is EMULATED


@pytest.mark.skipif(not EMULATED, reason="an NPU is not emulated")
def test_emulated_is_said_wherever_it_matters(tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    shown = certify("--model", "quicksrnet-small-x2", "--format", "bgra8", "--out", out).stdout
    assert "emulated on the CPU" in shown
    assert "HTP v73, emulated" in shown
    assert "emulator cycles" in shown
    assert "of the emulator; these are not NPU cycles" in shown
    found = msgspec.json.decode(out.read_bytes(), type=Certificate)
    assert found.cycles_of == "the emulator; these are not NPU cycles"
    assert {operator.placement for operator in found.operators} == {"HTP, emulated"}


def test_a_file_is_certified(make_model: Callable[..., Model]) -> None:
    done = certify("--model", make_model(Fraction(3)).path, "--scale", "3")
    assert done.returncode == 0, done.stderr
    assert "64x36 to 192x108 rgb8" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "quicksrnet-small-x2-float"], "quantised models only, and quicksrnet-small"),
        (["--model", "nosuch"], "unknown model 'nosuch'"),
        (["--model", "none.onnx"], "there is no model file none.onnx"),
        (["--model", "quicksrnet-medium", "--scale", "3"], "quicksrnet-medium has no model for 3x"),
        (["--model", "quicksrnet-small-x2", "--scale", "3"], "quicksrnet-small-x2 is for 2x"),
        (["--model", "quicksrnet-small-x1.5", "--size", "63x36"], "1.5 needs even sides, not 63x"),
        (["--model", "quicksrnet-small", "--size", "9999x8"], "9999x8 is too large"),
        (["--model", "quicksrnet-small", "--size", "big"], "'big' is no size"),
        (["--model", "quicksrnet-small", "--format", "yuv"], "unknown pixel format 'yuv'"),
        ([], "Missing option '--model'"),
    ],
)
def test_an_error_is_one_line(arguments: list[str], words: str) -> None:
    done = certify(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words in line
