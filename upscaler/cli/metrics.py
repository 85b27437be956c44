"""`upscaler metrics A B`: how close pictures are to a reference."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from protocol.errors import BadImageError
from upscaler.compare.inputs import check_same_names, images_of
from upscaler.console import console, progress, table
from upscaler.contract import Frame
from upscaler.images import read_image
from upscaler.metrics import (
    bootstrap_mean,
    flip_mean,
    psnr_db,
    psnr_y_db,
    ssim_rgb,
    ssim_y,
)

EXIT_INCOMPLETE = 1
COLUMNS = {
    "psnr_db": ("PSNR dB", 3),
    "psnr_y_db": ("PSNR Y dB", 3),
    "ssim": ("SSIM", 5),
    "ssim_y": ("SSIM Y", 5),
    "flip": ("FLIP", 5),
}
MEASURES: dict[str, Callable[..., float]] = {
    "psnr_db": psnr_db,
    "psnr_y_db": psnr_y_db,
    "ssim": ssim_rgb,
    "ssim_y": ssim_y,
    "flip": flip_mean,
}


def run(
    pictures: Path, references: Path, *, as_json: bool, shave: int, flip: bool, keep_going: bool
) -> int:
    """Measure, print text or JSON, and return the exit code: 1 when a picture was left out."""
    ours, theirs = images_of(pictures), images_of(references)
    if pictures.is_file() and references.is_file():
        theirs = dict(zip(ours, theirs.values(), strict=True))
    elif pictures.is_file() or references.is_file():
        msg = f"compare two images or two folders, not {pictures} with {references}"
        raise BadImageError(msg)
    if not keep_going:
        check_same_names(pictures, ours, references, theirs)
    names = {name: measure for name, measure in MEASURES.items() if flip or name != "flip"}
    failures = {
        name: f"{references if name in ours else pictures} has none called {name}"
        for name in sorted(ours.keys() ^ theirs.keys())
    }
    pairs = {name: (path, theirs[name]) for name, path in ours.items() if name not in failures}
    measured, unreadable = _measure_all(pairs, names, shave=shave, keep_going=keep_going)
    failures |= unreadable
    if not measured:
        msg = f"no picture could be measured: {next(iter(failures.values()))}"
        raise BadImageError(msg)
    means = {
        name: bootstrap_mean([each[name] for each in measured.values()]).mean for name in names
    }
    if as_json:
        found = {"mean": means, "pictures": measured, "failures": failures, "shave": shave}
        # Equal pictures have an infinite PSNR, which JSON writes as null.
        print(msgspec.json.format(msgspec.json.encode(found)).decode())  # noqa: T201
    else:
        _print(measured, means)
    for name, reason in failures.items():
        print(f"upscaler: left out {name}: {reason}", file=sys.stderr)  # noqa: T201
    return EXIT_INCOMPLETE if failures else 0


def _measure_all(
    pairs: dict[str, tuple[Path, Path]],
    names: dict[str, Callable[..., float]],
    *,
    shave: int,
    keep_going: bool,
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    measured: dict[str, dict[str, float]] = {}
    failures: dict[str, str] = {}
    with progress() as bar:
        for name, (picture, reference) in bar.track(pairs.items(), description="pictures"):
            try:
                measured[name] = _measure(picture, reference, names, shave)
            except BadImageError as error:
                if not keep_going:
                    raise
                failures[name] = str(error)
    return measured, failures


def _measure(
    picture: Path, reference: Path, names: dict[str, Callable[..., float]], shave: int
) -> dict[str, float]:
    first, second = _rgb(picture), _rgb(reference)
    if first.shape != second.shape:
        sizes = [f"{each.shape[1]}x{each.shape[0]}" for each in (first, second)]
        msg = f"{picture} is {sizes[0]}, but {reference} is {sizes[1]}; only equal sizes compare"
        raise BadImageError(msg)
    try:
        return {name: measure(first, second, shave=shave) for name, measure in names.items()}
    except ValueError as error:
        msg = f"{picture}: {error}"
        raise BadImageError(msg) from error


def _rgb(path: Path) -> Frame:
    return np.ascontiguousarray(read_image(path)[:, :, 2::-1])


def _print(measured: dict[str, dict[str, float]], means: dict[str, float]) -> None:
    shown = table("", "picture", *(COLUMNS[name][0] for name in means))
    for label, figures in measured.items():
        shown.add_row(label, *(f"{figures[name]:.{COLUMNS[name][1]}f}" for name in means))
    if len(measured) > 1:
        shown.add_section()
        shown.add_row("mean", *(f"{value:.{COLUMNS[name][1]}f}" for name, value in means.items()))
    console.print(shown)
