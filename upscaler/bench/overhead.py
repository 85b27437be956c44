"""`upscaler bench overhead`: the round trip through a real service process, stage by stage."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from protocol.frames import Size, parse_format, parse_scale, upscaled_size
from upscaler.bench.frames import game_frame
from upscaler.client import Client
from upscaler.console import console, progress, table
from upscaler.latency import percentiles
from upscaler.machine import cpu_name
from upscaler.service.process import ServiceProcess
from upscaler.timings import Timing

METHODS = ("quicksrnet-small", "fsr1", "bicubic", "nearest")
WARM_UP = 10


def run(
    *,
    size: tuple[int, int],
    scale: str,
    pixel_format: str,
    methods: Sequence[str],
    engine: str,
    frames: int,
    ipc: bool,
) -> None:
    """Send frames one at a time and print where each round trip's time went."""
    frame_size, ratio = Size(*size), parse_scale(scale)
    colour = parse_format(pixel_format)
    target = upscaled_size(frame_size, ratio)
    frame = game_frame(frame_size, colour)
    shown = table(
        f"{frame_size} to {target} {colour.label}, inline over {'ipc' if ipc else 'tcp'}, "
        f"{cpu_name()}",
        *("method", "round trip p50", "p99", "upscaling p50", "overhead p50", "p90", "p99 ms"),
    )
    stages = table(
        "median of each stage, ms",
        *("method", "submitted to received", "to started", "to finished", "to returned", "arrived"),
    )
    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        bind = f"ipc://{Path(folder) / 'upscaler'}" if ipc else "tcp://127.0.0.1:*"
        with ServiceProcess(["--engine", engine], bind=bind) as service:
            for method in methods or METHODS:
                task = bar.add_task(method, total=frames)
                with Client(
                    service.endpoint,
                    size=size,
                    scale=ratio,
                    pixel_format=pixel_format,
                    method=method,
                ) as client:
                    timings: list[Timing] = []
                    for turn in range(frames + WARM_UP):
                        client.submit(frame, copy=False)
                        timing = client.receive().timing
                        if turn >= WARM_UP:
                            timings.append(timing)
                            bar.advance(task)
                    name = f"{method} ({client.welcome.engine})"
                    if client.welcome.emulated:
                        name += " emulated"
                total = percentiles([timing.total_ms for timing in timings])
                inner = percentiles([timing.upscaling_ms for timing in timings])
                outer = percentiles([timing.overhead_ms for timing in timings])
                values = [total.p50_ms, total.p99_ms, inner.p50_ms]
                values += [outer.p50_ms, outer.p90_ms, outer.p99_ms]
                shown.add_row(name, *(f"{value:.2f}" for value in values))
                stages.add_row(name, *(f"{median:.2f}" for median in _stage_medians(timings)))
    console.print(shown)
    console.print(stages)


def _stage_medians(timings: Sequence[Timing]) -> list[float]:
    stages = zip(
        *(
            (
                timing.received_ns - timing.submitted_ns,
                timing.started_ns - timing.received_ns,
                timing.finished_ns - timing.started_ns,
                timing.returned_ns - timing.finished_ns,
                timing.arrived_ns - timing.returned_ns,
            )
            for timing in timings
        ),
        strict=True,
    )
    return [percentiles([each / 1e6 for each in stage]).p50_ms for stage in stages]
