"""`upscaler bench filters`: every filter, interleaved, beside OpenCV's bicubic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol.frames import Size, parse_format, parse_scale, upscaled_size
from upscaler.bands import BANDS
from upscaler.bench.engine import Contestant, measure
from upscaler.bench.frames import game_frame
from upscaler.console import console, table
from upscaler.filters.library import filters_at, make_filter
from upscaler.latency import percentiles
from upscaler.machine import cpu_name

BASE = "bicubic"
"""OpenCV's."""


def run(*, sizes: Sequence[tuple[int, int]], scale: str, pixel_format: str, rounds: int) -> None:
    """Time every filter at every size, one frame each in turn, and print medians and ratios."""
    ratio, colour = parse_scale(scale), parse_format(pixel_format)
    for width, height in sizes:
        size = Size(width, height)
        target = upscaled_size(size, ratio)
        contestants = []
        for name in filters_at(ratio):
            upscaler = make_filter(name, size, target, colour)
            # Written, so that the first frame does not pay for the caller's memory.
            result = np.full(upscaler.output_shape, 1, np.uint8)
            contestants.append(Contestant(label=name, upscaler=upscaler, result=result))
        measure(contestants, game_frame(size, colour), rounds)
        base = next(percentiles(each.times_ms).p50_ms for each in contestants if each.label == BASE)
        shown = table(
            f"{size} to {target} {colour.label}, {BANDS} threads, {rounds} rounds, {cpu_name()}",
            *("filter", "first ms", "p50 ms", "p90 ms", "min ms", "first / p50", f"x {BASE}"),
        )
        for each in contestants:
            latency = percentiles(each.times_ms)
            values = (each.first_ms, latency.p50_ms, latency.p90_ms, min(each.times_ms))
            ratios = (each.first_ms / latency.p50_ms, latency.p50_ms / base)
            shown.add_row(each.label, *(f"{value:.2f}" for value in (*values, *ratios)))
        console.print(shown)
