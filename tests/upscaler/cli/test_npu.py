"""`upscaler npu` as users meet it; on x86_64 the NPU is emulated."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import msgspec
import pytest

from upscaler.engines.certificate import Certificate
from upscaler.engines.contexts import checked_file, read_manifest
from upscaler.engines.socs import SOCS
from upscaler.models.library import Model, find_model

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")

RunHere = Callable[..., subprocess.CompletedProcess[str]]
EMULATED = platform.machine().lower() in ("x86_64", "amd64")


def upscaler_npu(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upscaler", "npu", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "160"},  # fewer would break the table's headings
    )


@pytest.fixture
def npu_here(run_here: RunHere) -> RunHere:
    """Run a command of `upscaler npu` in this process."""
    return partial(run_here, "npu")


@pytest.fixture
def certify(npu_here: RunHere) -> RunHere:
    """Certify for frames of 64x36 in this process."""
    return partial(npu_here, "certify", "--size", "64x36")


def test_a_method_as_text_and_as_json(tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    given = ("certify", "--size", "64x36", "--out", out)
    done = upscaler_npu(*given, "--model", "quicksrnet-small", "--scale", "1.5")
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
def test_emulated_is_said_wherever_it_matters(certify: RunHere, tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    shown = certify("--model", "quicksrnet-small-x2", "--format", "bgra8", "--out", out).stdout
    assert "emulated on the CPU" in shown
    assert "HTP v73, emulated" in shown
    assert "emulator cycles" in shown
    assert "of the emulator; these are not NPU cycles" in shown
    found = msgspec.json.decode(out.read_bytes(), type=Certificate)
    assert found.cycles_of == "the emulator; these are not NPU cycles"
    assert {operator.placement for operator in found.operators} == {"HTP, emulated"}


@pytest.mark.skipif(not EMULATED, reason="an NPU is the chip it is")
def test_the_emulated_chip_can_be_chosen(certify: RunHere) -> None:
    shown = certify("--model", "quicksrnet-small", "--npu", "soc=8 elite,vtcm_mb=4").stdout
    assert "SM8750 (Snapdragon 8 Elite)" in shown
    assert "HTP v79, emulated" in shown


def test_a_file_is_certified(certify: RunHere, make_model: Callable[..., Model]) -> None:
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
def test_an_error_is_one_line(certify: RunHere, arguments: list[str], words: str) -> None:
    done = certify(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words in line


def test_an_error_of_a_process_is_one_line() -> None:
    """The library that emulates would write to it, too."""
    done = upscaler_npu("certify", "--model", "quicksrnet-small-x2-float")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "quantised models only, and quicksrnet-small" in line


def test_chips_are_listed(npu_here: RunHere) -> None:
    done = npu_here("socs")
    assert done.returncode == 0
    for soc in SOCS:
        (line,) = [line for line in done.stdout.splitlines() if f" {soc.code} " in line]
        assert soc.name in line
        assert f"v{soc.architecture}" in line


@pytest.mark.skipif(not EMULATED, reason="contexts are compiled on x86_64")
def test_contexts_for_chips_sizes_and_formats(npu_here: RunHere, tmp_path: Path) -> None:
    out = tmp_path / "new" / "contexts"
    model = ["--model", "quicksrnet-small", "--scale", "1.5", "--out", out]
    first = upscaler_npu(
        "compile", *model, "--sizes", "64x32,32x32", "--soc", "sm8650,X Elite", "--format", "rgba8"
    )
    assert first.returncode == 0, first.stderr
    both = ["--soc", "8 gen 2,8 elite", "--together"]
    second = npu_here("compile", *model, "--sizes", "64x32", *both)
    assert second.returncode == 0, second.stderr
    assert "SM8550 (Snapdragon 8 Gen 2) v73, SM8750 (Snapdragon 8 Elite) v79" in second.stdout
    entries = read_manifest(out).entries
    assert [
        (
            entry.purpose.input_size,
            entry.purpose.pixel_format,
            [soc.code for soc in entry.purpose.socs],
        )
        for entry in entries
    ] == [
        ("64x32", "rgba8", ["SM8650"]),
        ("64x32", "rgba8", ["SC8380XP"]),
        ("32x32", "rgba8", ["SM8650"]),
        ("32x32", "rgba8", ["SC8380XP"]),
        ("64x32", "rgb8", ["SM8550", "SM8750"]),
    ]
    card = find_model("quicksrnet-small-x1.5").card
    for entry in entries:
        assert entry.purpose.weights_sha256 == card.weights_sha256
        assert set(entry.purpose.libraries) == {"onnxruntime", "onnxruntime-qnn", "QAIRT"}
        assert list(entry.graphs[0].kinds.values()) == ["Conv2d"] * 4 + ["DepthToSpace"]
        assert checked_file(out, entry).is_file()
    files = {name for entry in entries for name in entry.files}
    assert {path.name for path in out.iterdir()} == {*files, "manifest.json"}


@pytest.mark.skipif(not EMULATED, reason="contexts are compiled on x86_64")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--soc", "sm1234"], "unknown chip 'sm1234'; choose one of SM8450 (Snapdragon 8 Gen 1)"),
        (["--sizes", "480p"], "480p has no whole width"),
        (["--sizes", "64x32,9000x9000"], "is too large"),
        (["--format", "rgb8,yuv"], "unknown pixel format 'yuv'"),
        (["--model", "quicksrnet-small-x2-float"], "quantised models only"),
        (["--npu", "htp_arch=68"], "unknown NPU option 'htp_arch'"),
        (["--out", "{file}"], "{file}: File exists"),
    ],
)
def test_what_cannot_be_compiled_is_one_line(
    npu_here: RunHere, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "file").touch()
    given = {
        "--model": "quicksrnet-small",
        "--sizes": "64x32",
        "--soc": "sm8650",
        "--out": str(tmp_path / "out"),
    }
    given[arguments[0]] = arguments[1].format(file=tmp_path / "file")
    done = npu_here("compile", *(part for pair in given.items() for part in pair))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words.format(file=tmp_path / "file") in line
    assert not (tmp_path / "out" / "manifest.json").exists()
