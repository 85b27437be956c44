"""`upscaler demo`: plays the clip, shows a live line, writes the pictures and the summary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.live import Live

from protocol.errors import BadRequestError
from upscaler import __version__
from upscaler.client import Client
from upscaler.console import console
from upscaler.contract import Frame
from upscaler.demo.pictures import draw_comparison, draw_latency
from upscaler.images import read_image
from upscaler.latency import percentiles
from upscaler.machine import cpu_name
from upscaler.metrics import psnr_db
from upscaler.service.process import ServiceProcess
from upscaler.timings import Timing

CLIP = Path(__file__).parent / "clip"
NETWORK = "quicksrnet-small"
METHODS = ("bicubic", "fsr1", NETWORK)
TITLES = {"bicubic": "bicubic", "fsr1": "FSR 1.0", NETWORK: "QuickSRNet-Small, int8"}
TRAVEL = {"shm": "in shared memory", "inline": "inline"}
COMPARED_FRAMES = 30
SECONDS_PER_METHOD = 5.0


def run(out: Path, *, engine: str, seconds: float) -> None:
    """Play the clip for `seconds` and leave compare.png, latency.png and summary.json in `out`.

    Raises BadRequestError when `out` cannot be a folder, EngineError for a missing engine.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot make the folder {out}: {error.strerror}"
        raise BadRequestError(msg) from error
    for name in ("compare.png", "latency.png", "summary.json"):
        try:  # now, and not when the clip has been played
            (out / name).open("ab").close()
        except OSError as error:
            msg = f"cannot write {out / name}: {error.strerror}"
            raise BadRequestError(msg) from error
    low, native = read_image(CLIP / "low.webp"), read_image(CLIP / "native.webp")
    clip = [read_image(path) for path in sorted((CLIP / "frames").glob("*.webp"))]
    size, target = (low.shape[1], low.shape[0]), (native.shape[1], native.shape[0])
    with ServiceProcess(["--engine", engine]) as service:
        for line in service.banner:
            console.print(line, soft_wrap=True)
        pictures: dict[str, Frame] = {}
        timings: dict[str, list[Timing]] = {}
        for method in METHODS:
            with Client(service.endpoint, size=size, pixel_format="bgr8", method=method) as client:
                welcome, transport = client.welcome, client.transport
                pictures[method] = client.upscale(low).copy()
                frames = clip if method == NETWORK else clip[:COMPARED_FRAMES]
                limit_s = seconds if method == NETWORK else min(seconds, SECONDS_PER_METHOD)
                count = None if method == NETWORK else COMPARED_FRAMES
                timings[method] = _play(client, frames, limit_s=limit_s, count=count)
    psnr = {method: psnr_db(pictures[method], native) for method in METHODS}
    summary = _summary(size, target, timings, psnr)
    summary |= {
        "engine": welcome.engine,
        "device": welcome.device,
        "emulated": welcome.emulated,
        "transport": transport,
    }
    shown = {TITLES[method]: (pictures[method], psnr[method]) for method in METHODS}
    draw_comparison(out / "compare.png", shown, native)
    draw_latency(
        out / "latency.png",
        {TITLES[method]: timings[method] for method in METHODS},
        title=_caption(summary),
    )
    text = msgspec.json.format(msgspec.json.encode(summary), indent=2)
    (out / "summary.json").write_bytes(text + b"\n")
    for method in METHODS:
        latency = percentiles([timing.total_ms for timing in timings[method]])
        console.print(
            f"{method:17} {psnr[method]:6.2f} dB   p50 {latency.p50_ms:6.1f} ms   "
            f"p99 {latency.p99_ms:6.1f} ms   over {latency.count} frames"
        )
    console.print(f"look at {out / 'compare.png'} and {out / 'latency.png'}", soft_wrap=True)


def _play(
    client: Client, clip: Sequence[Frame], *, limit_s: float, count: int | None
) -> list[Timing]:
    """Send frame after frame, each when the last has come back; the clip runs to and fro."""
    timings: list[Timing] = []
    frames = cycle([*clip, *clip[-2:0:-1]])
    began = time.perf_counter()
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        while count is None or len(timings) < count:
            elapsed_s = time.perf_counter() - began
            if elapsed_s >= limit_s and timings:
                break
            client.submit(next(frames))
            timings.append(client.receive().timing)
            live.update(_live_line(client.welcome.method, timings, elapsed_s, limit_s))
    return timings


def _live_line(method: str, timings: list[Timing], elapsed_s: float, limit_s: float) -> str:
    recent = [timing.total_ms for timing in timings[-120:]]
    p50, p99 = np.percentile(recent, (50, 99))
    return (
        f"{method:17} {1000 / np.mean(recent):6.1f} fps   p50 {p50:6.1f} ms   "
        f"p99 {p99:6.1f} ms   {elapsed_s:.0f} of {limit_s:.0f} s"
    )


def _summary(
    size: tuple[int, int],
    target: tuple[int, int],
    timings: dict[str, list[Timing]],
    psnr: dict[str, float],
) -> dict[str, Any]:
    methods = {}
    for method, timed in timings.items():
        total = [timing.total_ms for timing in timed]
        methods[method] = {
            "psnr_db": round(psnr[method], 3),
            "fps": round(1000 / float(np.mean(total)), 2),
            "total": percentiles(total),
            "upscaling": percentiles([timing.upscaling_ms for timing in timed]),
            "overhead": percentiles([timing.overhead_ms for timing in timed]),
        }
    return {
        "version": __version__,
        "machine": cpu_name(),
        "input": f"{size[0]}x{size[1]}",
        "result": f"{target[0]}x{target[1]}",
        "methods": methods,
    }


def _caption(summary: dict[str, Any]) -> str:
    emulated = ", EMULATED" if summary["emulated"] else ""
    return (
        f"{summary['input']} to {summary['result']}, pixels {TRAVEL[summary['transport']]}; "
        f"network on {summary['engine']} ({summary['device']}{emulated})"
    )
