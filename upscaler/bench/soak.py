"""Many frames at full rate: memory, descriptors and segments before and after."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from upscaler.client import Client
from upscaler.console import console, progress, table
from upscaler.service.process import ServiceProcess
from upscaler.shared_memory import PREFIX

SIZE = (640, 360)
METHOD = "nearest"
WARM_UP = 1000
SETTLE_S = 10.0
"""A service takes note of a client's end within moments; this is when we stop waiting for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the service and this process hold; None where the system does not tell."""

    service_mb: float | None
    client_mb: float | None
    service_files: int | None
    segments: int | None


def soak(service: ServiceProcess, frames: int) -> None:
    """Send `frames` as fast as they come back, and print what has grown and what is left."""
    idle = _settled(service.pid)
    with Client(
        service.endpoint,
        size=SIZE,
        pixel_format="rgba8",
        method=METHOD,
        delivery="every",
        name="soak",
    ) as client:
        _stream(client, WARM_UP, "warm-up")
        before = usage(service.pid)
        began = time.perf_counter()
        _stream(client, frames, "frames at full rate")
        rate = frames / (time.perf_counter() - began)
        after = usage(service.pid)
    left = _settled(service.pid, idle)
    shown = table(
        f"{frames} frames at full rate ({rate:.0f} a second), {METHOD} at {SIZE[0]}x{SIZE[1]}",
        *("", "before", "after", "more"),
    )
    for name, was, now in (
        ("service, resident MB", before.service_mb, after.service_mb),
        ("client, resident MB", before.client_mb, after.client_mb),
        ("service's files when no client is there", idle.service_files, left.service_files),
        ("service's segments when no client is there", idle.segments, left.segments),
    ):
        if was is None or now is None:
            shown.add_row(name, "-", "-", "not known on this system")
        else:
            digits = 1 if isinstance(was, float) else 0
            shown.add_row(name, *(f"{value:.{digits}f}" for value in (was, now, now - was)))
    console.print(shown)


def usage(pid: int) -> Usage:
    """What the service `pid` and this process hold now."""
    return Usage(
        service_mb=_resident_mb(pid),
        client_mb=_resident_mb(os.getpid()),
        service_files=_files(pid),
        segments=_segments(pid),
    )


def _stream(client: Client, frames: int, what: str) -> None:
    with progress() as bar:
        for _ in bar.track(range(frames), description=what):
            client.submit(client.acquire())
            client.release(client.receive())


def _settled(pid: int, idle: Usage | None = None) -> Usage:
    """Usage once nothing of a client is left, or as much as when the service was `idle`."""
    until = time.monotonic() + SETTLE_S
    while True:
        now = usage(pid)
        settled = not now.segments if idle is None else _left(now) == _left(idle)
        if settled or time.monotonic() > until:
            return now
        time.sleep(0.05)


def _left(now: Usage) -> tuple[int | None, int | None]:
    return now.service_files, now.segments


def _resident_mb(pid: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _files(pid: int) -> int | None:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None


def _segments(pid: int) -> int | None:
    """Segments that a process maps, be their names freed or not."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:
        return None
    return len({line.split(maxsplit=5)[5] for line in maps.splitlines() if f"/{PREFIX}" in line})
