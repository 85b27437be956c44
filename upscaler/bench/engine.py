"""`upscaler bench engine`: inference and filters alone, interleaved, so noise hits all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from protocol.frames import PixelFormat, Size, parse_format, parse_scale, upscaled_size
from upscaler.bench.frames import game_frame
from upscaler.catalogue import Catalogue
from upscaler.console import console, progress, table
from upscaler.contract import Frame, Request, Upscaler
from upscaler.filters.library import filters_at
from upscaler.latency import percentiles
from upscaler.machine import cpu_name


@dataclass(slots=True, kw_only=True)
class Contestant:
    """One upscaler and the times of its frames."""

    label: str
    upscaler: Upscaler
    result: Frame
    first_ms: float = 0.0
    times_ms: list[float] = field(default_factory=list)


def run(
    *,
    size: tuple[int, int],
    scale: str,
    pixel_format: str,
    engines: Sequence[str],
    rounds: int,
    threads: int,
) -> None:
    """Time every method on every engine, one frame each in turn, and print medians and ratios."""
    frame_size, ratio = Size(*size), parse_scale(scale)
    colour = parse_format(pixel_format)
    upscaled_size(frame_size, ratio)
    contestants = list(_open(frame_size, ratio, colour, engines, threads))
    frame = game_frame(frame_size, colour)
    measure(contestants, frame, rounds)
    first = np.median(contestants[0].times_ms)
    shown = table(
        f"{frame_size} to {upscaled_size(frame_size, ratio)} {colour.label}, {threads} threads, "
        f"{cpu_name()}",
        *("method and engine", "p50 ms", "p90 ms", "min ms", f"x {contestants[0].label}"),
    )
    for each in contestants:
        latency = percentiles(each.times_ms)
        shown.add_row(
            each.label,
            f"{latency.p50_ms:.2f}",
            f"{latency.p90_ms:.2f}",
            f"{min(each.times_ms):.2f}",
            f"{latency.p50_ms / first:.2f}",
        )
    console.print(shown)
    for each in contestants:
        each.upscaler.close()


def measure(contestants: Sequence[Contestant], frame: Frame, rounds: int) -> None:
    """Run each contestant once in every round; the first round is kept apart, as `first_ms`."""
    with progress() as bar:
        task = bar.add_task("rounds", total=rounds)
        for turn in range(rounds + 1):
            for each in contestants:
                began = time.perf_counter_ns()
                each.upscaler(frame, each.result)
                taken_ms = (time.perf_counter_ns() - began) / 1e6
                if turn:
                    each.times_ms.append(taken_ms)
                else:
                    each.first_ms = taken_ms
            if turn:
                bar.advance(task)


def _open(
    size: Size, scale: Fraction, colour: PixelFormat, engines: Sequence[str], threads: int
) -> list[Contestant]:
    opened = []
    for engine in engines:
        catalogue = Catalogue(engine=engine, threads=threads)
        method = catalogue.networks[0].card.method
        opened.append((catalogue, method))
    filters: list[tuple[Catalogue, str]] = [(Catalogue(), method) for method in filters_at(scale)]
    contestants = []
    for catalogue, method in [*opened, *filters]:
        request = Request(method=method, size=size, scale=scale, pixel_format=colour)
        upscaler = catalogue.open(request)
        emulated = " (emulated)" if upscaler.emulated else ""
        contestants.append(
            Contestant(
                label=f"{upscaler.name} {upscaler.engine}{emulated}",
                upscaler=upscaler,
                # Written, so that the first frame does not pay for the caller's memory.
                result=np.full(upscaler.output_shape, 1, np.uint8),
            )
        )
    return contestants
