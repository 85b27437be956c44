"""`upscaler bench overhead`: what the service adds to the upscaler, stage by stage.

Everything that is compared is measured in turns, frame by frame, so that a machine's moods hit all
of it: shared memory, pixels inline, and two bare ZeroMQ sockets with as much, as the floors.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from rich.table import Table

from protocol.frames import Size, parse_format, parse_scale, upscaled_size
from upscaler.bench.bare import BareService
from upscaler.bench.frames import game_frame
from upscaler.bench.soak import soak
from upscaler.bench.throughput import compare_throughput
from upscaler.client import Client
from upscaler.console import console, progress, table
from upscaler.contract import Frame
from upscaler.latency import percentiles
from upscaler.machine import cpu_name
from upscaler.service.process import ServiceProcess
from upscaler.timings import STAGES, Counter, Timing

METHODS = ("quicksrnet-small", "fsr1", "bicubic", "nearest")
TRANSPORTS: tuple[Literal["shm", "inline"], ...] = ("shm", "inline")
WARM_UP = 10


@dataclass(slots=True, kw_only=True)
class Contestant:
    """One client and the times of its frames."""

    client: Client
    timings: list[Timing] = field(default_factory=list)
    counter: Counter = field(default_factory=Counter)

    @property
    def label(self) -> str:
        """Method, engine and transport."""
        welcome = self.client.welcome
        emulated = " emulated" if welcome.emulated else ""
        return f"{welcome.method} ({welcome.engine}{emulated}), {self.client.transport}"


def run(
    *,
    size: tuple[int, int],
    scale: str,
    pixel_format: str,
    methods: Sequence[str],
    engine: str,
    frames: int,
    soak_frames: int,
    seconds: float,
    tcp: bool,
) -> None:
    """Time round trips, then two clients against one, then many frames at full rate."""
    frame_size, ratio = Size(*size), parse_scale(scale)
    colour = parse_format(pixel_format)
    target = upscaled_size(frame_size, ratio)
    frame = game_frame(frame_size, colour)
    where = "tcp" if tcp else "ipc"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:

        def endpoint(name: str) -> str:
            return "tcp://127.0.0.1:*" if tcp else f"ipc://{Path(folder) / name}"

        service = stack.enter_context(
            ServiceProcess(["--engine", engine], bind=endpoint("upscaler"))
        )
        bare_at = "tcp://127.0.0.1:5569" if tcp else endpoint("bare")
        bare = stack.enter_context(
            BareService(bare_at, result_bytes=target.pixels * colour.channels)
        )
        contestants = []
        for method in methods or METHODS:
            for transport in TRANSPORTS:
                client = Client(
                    service.endpoint,
                    size=size,
                    scale=scale,
                    pixel_format=pixel_format,
                    method=method,
                    transport=transport,
                    name="bench",
                )
                contestants.append(Contestant(client=stack.enter_context(client)))
        bare_ms = _measure(contestants, bare, frame, frames)
        console.print(
            _overheads(
                contestants,
                bare_ms,
                f"{frame_size} to {target} {colour.label} over {where}, in turns, {cpu_name()}",
            )
        )
        console.print(_stages(contestants))
        for each in contestants:
            each.client.close()
        compare_throughput(service.endpoint, seconds=seconds)
        if soak_frames:
            soak(service, soak_frames)


def _measure(
    contestants: Sequence[Contestant], bare: BareService, frame: Frame, rounds: int
) -> dict[str, list[float]]:
    bare_ms: dict[str, list[float]] = {transport: [] for transport in TRANSPORTS}
    with progress() as bar:
        for turn in bar.track(range(rounds + WARM_UP), description="round trips"):
            for transport in TRANSPORTS:
                spent_ms = bare.round_trip_ms(frame if transport == "inline" else None)
                if turn >= WARM_UP:
                    bare_ms[transport].append(spent_ms)
            for each in contestants:
                # As a game would: its frame is rendered into the slot before the clock starts.
                slot = each.client.acquire()
                np.copyto(slot, frame)
                each.client.submit(slot)
                result = each.client.receive()
                each.client.release(result)
                if turn >= WARM_UP:
                    each.timings.append(result.timing)
                    each.counter.add(result.timing, result.outcome)
    return bare_ms


def _overheads(
    contestants: Sequence[Contestant], bare_ms: dict[str, list[float]], title: str
) -> Table:
    shown = table(
        title,
        *("method", "round trip p50", "p99", "upscaling p50", "overhead p50", "p90", "p99 ms"),
        "x bare",
    )
    floors = {transport: percentiles(times_ms) for transport, times_ms in bare_ms.items()}
    for each in contestants:
        total = percentiles([timing.total_ms for timing in each.timings])
        inner = percentiles([timing.upscaling_ms for timing in each.timings])
        outer = percentiles([timing.overhead_ms for timing in each.timings])
        floor = floors[each.client.transport]
        values = [total.p50_ms, total.p99_ms, inner.p50_ms]
        values += [outer.p50_ms, outer.p90_ms, outer.p99_ms]
        cells = [f"{value:.2f}" for value in values]
        shown.add_row(each.label, *cells, f"{outer.p50_ms / floor.p50_ms:.1f}")
    shown.add_section()
    for transport, floor in floors.items():
        carried = "headers only" if transport == "shm" else "as many pixels"
        shown.add_row(
            f"two bare ZeroMQ sockets, {carried}",
            *(f"{value:.2f}" for value in (floor.p50_ms, floor.p99_ms)),
            "",
            *(f"{value:.2f}" for value in (floor.p50_ms, floor.p90_ms, floor.p99_ms)),
            "1.0",
        )
    return shown


def _stages(contestants: Sequence[Contestant]) -> Table:
    shown = table("median of each stage, ms", "method", *STAGES)
    for each in contestants:
        stages = each.counter.statistics().stages
        shown.add_row(each.label, *(f"{stages[stage].p50_ms:.3f}" for stage in STAGES))
    return shown
