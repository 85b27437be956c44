"""`upscaler metrics` as users meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from upscaler.images import read_image, write_image
from upscaler.metrics import flip_mean, psnr_db, psnr_y_db, ssim_rgb, ssim_y

Metrics = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def metrics(run_here: Metrics) -> Metrics:
    """Run the command in this process."""
    return partial(run_here, "metrics")


def metrics_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upscaler", "metrics", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def noisy(pairs: tuple[Path, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "noisy"
    folder.mkdir()
    random = np.random.default_rng(1)
    for file in pairs[1].iterdir():
        image = read_image(file).astype(int)
        image += random.integers(-9, 10, image.shape)
        write_image(folder / file.name, image.clip(0, 255).astype(np.uint8))
    return folder


def test_two_images_as_text_and_as_json(
    metrics: Metrics, pairs: tuple[Path, Path], noisy: Path
) -> None:
    first, second = noisy / "000.png", pairs[1] / "001.png"
    rgb = [read_image(path)[:, :, ::-1] for path in (first, second)]
    expected = {
        "psnr_db": psnr_db(*rgb),
        "psnr_y_db": psnr_y_db(*rgb),
        "ssim": ssim_rgb(*rgb),
        "ssim_y": ssim_y(*rgb),
        "flip": flip_mean(*rgb),
    }
    done = metrics_process(first, second, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["mean"] == pytest.approx(expected)
    assert found["pictures"] == {"000": pytest.approx(expected)}
    text = metrics(first, second).stdout
    assert f"{expected['psnr_db']:.3f}" in text
    assert f"{expected['flip']:.5f}" in text


def test_two_folders(metrics: Metrics, pairs: tuple[Path, Path], noisy: Path) -> None:
    done = metrics(noisy, pairs[1], "--json", "--shave", 2, "--no-flip")
    found = json.loads(done.stdout)
    assert list(found["pictures"]) == ["000", "001", "002"]
    psnr = [each["psnr_db"] for each in found["pictures"].values()]
    assert found["mean"]["psnr_db"] == pytest.approx(np.mean(psnr))
    assert "flip" not in found["mean"]
    assert "mean" in metrics(noisy, pairs[1], "--no-flip").stdout


def test_equal_pictures_have_no_finite_psnr(metrics: Metrics, pairs: tuple[Path, Path]) -> None:
    same = pairs[1] / "000.png"
    assert json.loads(metrics(same, same, "--json").stdout)["mean"]["psnr_db"] is None
    assert "inf" in metrics(same, same).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{low}", "{high}"], "{low}/000.png is 80x48, but {high}/000.png is 160x96"),
        (["{low}", "{missing}"], "{missing} is no folder"),
        (["{low}", "{high}/000.png"], "compare two images or two folders, not {low} with"),
        (["{high}", "{noisy}"], "{noisy} has 2: {noisy} has none called 001"),
        (["{high}", "{high}", "--shave", "60"], "cannot shave 60 pixels"),
    ],
)
def test_an_error_is_one_line(
    metrics: Metrics, pairs: tuple[Path, Path], noisy: Path, arguments: list[str], words: str
) -> None:
    (noisy / "001.png").unlink()
    names = {
        "low": pairs[0],
        "high": pairs[1],
        "noisy": noisy,
        "missing": noisy / "none",
    }
    done = metrics(*(argument.format(**names) for argument in arguments))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words.format(**names) in line


def test_an_error_of_a_process_is_one_line(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    """OpenCV, which reads how loud it may be when it is loaded, adds none."""
    text = tmp_path / "text.png"
    text.write_text("no image")
    done = metrics_process(pairs[1] / "000.png", text)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{text} is not an image" in line


def test_the_others_are_measured_when_asked(
    metrics: Metrics, pairs: tuple[Path, Path], noisy: Path
) -> None:
    (noisy / "001.png").unlink()
    (noisy / "002.png").write_bytes(b"no image")
    done = metrics(noisy, pairs[1], "--json", "--keep-going")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert list(found["pictures"]) == ["000"]
    assert set(found["failures"]) == {"001", "002"}
    assert len(done.stderr.splitlines()) == 2
