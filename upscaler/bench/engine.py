"""`upscaler bench engine`: inference and filters alone, interleaved, so noise hits all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from protocol.frames import PixelFormat, Size, parse_format, parse_scale, upscaled_size
from upscaler.bench.floor import Peak, describe
from upscaler.bench.frames import game_frame
from upscaler.catalogue import Catalogue
from upscaler.console import console, progress, table
from upscaler.contract import Frame, Request, Upscaler
from upscaler.filters.library import filters_at, is_filter
from upscaler.latency import percentiles
from upscaler.machine import cpu_name
from upscaler.models.geometry import geometry_of


@dataclass(slots=True, kw_only=True)
class Contestant:
    """One upscaler and the times of its frames; CPU times are of all threads together.

    `multiply_adds` are a network's, for each input pixel in RGB; zero for a filter.
    """

    label: str
    upscaler: Upscaler
    result: Frame
    multiply_adds: float = 0.0
    first_ms: float = 0.0
    times_ms: list[float] = field(default_factory=list)
    cpu_times_ms: list[float] = field(default_factory=list)


def run(
    *,
    size: tuple[int, int],
    scale: str,
    pixel_format: str,
    engines: Sequence[str],
    rounds: int,
    threads: int,
    methods: Sequence[str] = (),
) -> None:
    """Time methods, networks on every engine, one frame each in turn; print medians and ratios.

    Without `methods` they are the default network and every filter.
    """
    frame_size, ratio = Size(*size), parse_scale(scale)
    colour = parse_format(pixel_format)
    upscaled_size(frame_size, ratio)
    contestants = list(_open(frame_size, ratio, colour, engines, threads, methods=methods))
    frame = game_frame(frame_size, colour)
    peak, rates = Peak(threads), []

    def sample() -> None:
        peak.sample()
        rates.append(peak.latest)

    measure(contestants, frame, rounds, between=sample)
    first = np.median(contestants[0].times_ms)
    shown = table(
        f"{frame_size} to {upscaled_size(frame_size, ratio)} {colour.label}, {threads} threads, "
        f"{cpu_name()}",
        *("method and engine", "p50 ms", "p90 ms", "min ms", f"x {contestants[0].label}"),
        *("p50 / floor", "CPU / floor"),
    )
    for each in contestants:
        latency = percentiles(each.times_ms)
        shown.add_row(
            each.label,
            f"{latency.p50_ms:.2f}",
            f"{latency.p90_ms:.2f}",
            f"{min(each.times_ms):.2f}",
            f"{latency.p50_ms / first:.2f}",
            *_over_floor(each, frame_size, rates, threads),
        )
    console.print(shown)
    console.print(
        "CPU / floor: CPU time of all threads, which other programs hardly change, in turns"
    )
    for line in describe(peak, threads):
        console.print(line)
    for cost in dict.fromkeys(each.multiply_adds for each in contestants if each.multiply_adds):
        console.print(
            f"floor: {int(cost):,} multiply-adds per pixel x {frame_size.pixels:,} pixels / "
            f"{peak.rate / 1e9:.1f} billion per second = "
            f"{1e3 * cost * frame_size.pixels / peak.rate:.1f} ms"
        )
    for each in contestants:
        each.upscaler.close()


def _over_floor(
    contestant: Contestant, size: Size, rates: Sequence[float], threads: int
) -> list[str]:
    """Median time over the floor; and CPU time of a thread over the floor of its round, the median.

    `rates` are multiply-adds per second, one for each round and the first that does not count.
    """
    if not contestant.multiply_adds:
        return [""] * 2
    floors_ms = 1e3 * contestant.multiply_adds * size.pixels / np.array(rates)
    cpu_ms = np.array(contestant.cpu_times_ms) / threads
    ratios = np.median(contestant.times_ms) / floors_ms.min(), np.median(cpu_ms / floors_ms[1:])
    return [f"{ratio:.2f}" for ratio in ratios]


def measure(
    contestants: Sequence[Contestant],
    frame: Frame,
    rounds: int,
    *,
    between: Callable[[], None] | None = None,
) -> None:
    """Run each contestant once in every round; the first round is kept apart, as `first_ms`.

    `between` is called before each round.
    """
    with progress() as bar:
        task = bar.add_task("rounds", total=rounds)
        for turn in range(rounds + 1):
            if between is not None:
                between()
            for each in contestants:
                began, began_cpu = time.perf_counter_ns(), time.process_time_ns()
                each.upscaler(frame, each.result)
                taken_ms = (time.perf_counter_ns() - began) / 1e6
                if turn:
                    each.times_ms.append(taken_ms)
                    each.cpu_times_ms.append((time.process_time_ns() - began_cpu) / 1e6)
                else:
                    each.first_ms = taken_ms
            if turn:
                bar.advance(task)


def _open(
    size: Size,
    scale: Fraction,
    colour: PixelFormat,
    engines: Sequence[str],
    threads: int,
    *,
    methods: Sequence[str],
) -> list[Contestant]:
    opened = []
    for engine in engines:
        catalogue = Catalogue(engine=engine, threads=threads)
        default = [catalogue.networks[0].card.method]
        networks = [method for method in methods if not is_filter(method)] if methods else default
        opened += [(catalogue, method) for method in networks]
    chosen = [method for method in methods if is_filter(method)] if methods else filters_at(scale)
    filters: list[tuple[Catalogue, str]] = [(Catalogue(), method) for method in chosen]
    contestants = []
    for catalogue, method in [*opened, *filters]:
        request = Request(method=method, size=size, scale=scale, pixel_format=colour)
        upscaler = catalogue.open(request)
        emulated = " (emulated)" if upscaler.emulated else ""
        contestants.append(
            Contestant(
                label=f"{method} {upscaler.engine}{emulated}",
                upscaler=upscaler,
                multiply_adds=_multiply_adds(catalogue, method, scale),
                # Written, so that the first frame does not pay for the caller's memory.
                result=np.full(upscaler.output_shape, 1, np.uint8),
            )
        )
    return contestants


def _multiply_adds(catalogue: Catalogue, method: str, scale: Fraction) -> float:
    if is_filter(method):
        return 0.0
    model = next(
        each
        for each in catalogue.networks
        if (each.card.method, each.card.ratio) == (method, scale)
    )
    return float(geometry_of(model.proto(), scale).multiply_adds)
