"""`upscaler bench reuse`: what unchanged pixels save, and what looking for them costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from protocol.errors import BadRequestError, EngineError
from protocol.frames import PixelFormat, Size, parse_format, parse_scale, upscaled_size
from upscaler.bench.frames import fitted
from upscaler.catalogue import Catalogue
from upscaler.console import console, progress, table
from upscaler.contract import Frame, Request, Upscaler
from upscaler.engines.reuse import ReusingUpscaler
from upscaler.images import read_image
from upscaler.latency import percentiles
from upscaler.machine import cpu_name

CLIP = Path(__file__).parent.parent / "demo" / "clip" / "frames"
TURN = 5
"""So many frames with, then so many without: a still picture finds its own pixels in the cache, not
what a whole network left there. Each has a buffer of its own for its result."""

Paint = Callable[[Frame, Frame, int], None]
"""Paints frame number `at` of a scene: `paint(frame, moving, at)`, `moving` being its picture."""


def _still(frame: Frame, moving: Frame, at: int) -> None:
    """Nothing changes."""


def _cursor(frame: Frame, moving: Frame, at: int) -> None:
    height, width, _ = frame.shape
    y, x = (67 + 13 * at) % (height - 32), (91 + 29 * at) % (width - 32)
    frame[y : y + 32, x : x + 32] = moving[:32, :32]


def _hud(frame: Frame, moving: Frame, _: int) -> None:
    height, width, _ = frame.shape
    rows, columns = slice(height - height // 9, height), slice(width // 4, 3 * width // 4)
    frame[rows, columns] = moving[rows, columns]


def _half(frame: Frame, moving: Frame, _: int) -> None:
    frame[:, : frame.shape[1] // 2] = moving[:, : frame.shape[1] // 2]


def _all(frame: Frame, moving: Frame, _: int) -> None:
    frame[...] = moving


SCENES: dict[str, Paint] = {
    "still": _still,
    "a cursor, 32x32": _cursor,
    "a HUD, 1/18 of the frame": _hud,
    "half of the frame": _half,
    "everything": _all,
}


def run(
    *,
    size: tuple[int, int],
    scale: str,
    pixel_format: str,
    engine: str,
    rounds: int,
    threads: int,
) -> None:
    """Show every scene to a network with and without reuse, frame by frame in turns.

    Raises EngineError should the two ever differ.
    """
    request = Request(
        method="",
        size=Size(*size),
        scale=parse_scale(scale),
        pixel_format=parse_format(pixel_format),
    )
    plain, reusing = (
        Catalogue(engine=engine, threads=threads, reuse=reuse).open(request)
        for reuse in (False, True)
    )
    if not isinstance(reusing, ReusingUpscaler):
        msg = "the default method is no network, so there is nothing to reuse"
        raise BadRequestError(msg)
    moving = _clip(request.size, request.pixel_format)
    shown = table(
        f"{request.size} to {upscaled_size(request.size, request.scale)} {pixel_format}, "
        f"{plain.name} {plain.engine}, {threads} threads, {rounds} frames, {cpu_name()}",
        *("what changes", "without, p50 ms", "with, p50 ms", "with, p90 ms", "with, min ms"),
        *("with / without", "recomputed"),
    )
    turns = -(-rounds // TURN)
    with progress() as bar:
        task = bar.add_task("frames", total=len(SCENES) * turns * TURN)
        for label, paint in SCENES.items():
            before = reusing.statistics
            scene = (_scene(moving, paint, turn) for turn in range(turns + 1))
            times: tuple[list[float], list[float]] = [], []
            for turn, frames in enumerate(scene):
                taken = measure(plain, reusing, frames)
                if turn:  # by then reuse has found out what kind of picture it is
                    times[0].extend(taken[0])
                    times[1].extend(taken[1])
                    bar.advance(task, TURN)
            after = reusing.statistics
            without, found = (percentiles(each) for each in times)
            pixels = (after.recomputed_pixels - before.recomputed_pixels) / request.size.pixels
            whole = after.whole + after.moving - before.whole - before.moving
            shown.add_row(
                label,
                *(f"{value:.2f}" for value in (without.p50_ms, found.p50_ms, found.p90_ms)),
                f"{min(times[1]):.2f}",
                f"{found.p50_ms / without.p50_ms:.3f}",
                f"{(pixels + whole) / (after.frames - before.frames):.1%}",
            )
    console.print(shown)
    console.print(
        "recomputed: pixels of windows and whole frames, with the first frames of a scene"
    )
    plain.close()
    reusing.close()


def _clip(size: Size, pixel_format: PixelFormat) -> list[Frame]:
    return [fitted(read_image(path), size, pixel_format) for path in sorted(CLIP.glob("*.webp"))]


def _scene(moving: list[Frame], paint: Paint, turn: int) -> list[Frame]:
    frames = [moving[0].copy() for _ in range(TURN)]
    for at, frame in enumerate(frames, turn * TURN):
        paint(frame, moving[at % len(moving)], at)
    return frames


def measure(
    plain: Upscaler, reusing: Upscaler, frames: list[Frame]
) -> tuple[list[float], list[float]]:
    """Show `frames` to one, then to the other; return their times in ms.

    Raises EngineError when a result differs.
    """
    times: tuple[list[float], list[float]] = [], []
    shape = (len(frames), *plain.output_shape)
    results = np.full(shape, 1, np.uint8), np.full(shape, 1, np.uint8)
    for upscaler, taken, buffers in zip((plain, reusing), times, results, strict=True):
        for frame, buffer in zip(frames, buffers, strict=True):
            began = time.perf_counter_ns()
            upscaler(frame, buffer)
            taken.append((time.perf_counter_ns() - began) / 1e6)
    if not np.array_equal(results[0], results[1]):
        msg = f"{plain.name} with reuse differs from {plain.name} without"
        raise EngineError(msg)
    return times
