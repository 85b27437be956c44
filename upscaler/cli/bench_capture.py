"""`upscaler bench capture`: the screen, its pace, and the live view.

It composes: the screen is the capture package's, and what is measured without one lies with the
other benchmarks. A window of its own is what is captured, so that it is known what changes when.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table

from capture.pacing import Paced
from capture.screen import PlainScreen, open_region
from capture.source import CapturedFrame, Pixels
from capture.windows import Region, open_window
from protocol.errors import BadRequestError, CaptureError
from protocol.frames import PixelFormat, Size, check_size
from upscaler.bench import viewer
from upscaler.bench.moving_picture import MovingPicture
from upscaler.console import console, progress, table
from upscaler.latency import percentiles
from upscaler.machine import cpu_name
from upscaler.shared_memory import Segment

CAPTURE, PACING, VIEWER = "capture", "pacing", "viewer"
PARTS = (CAPTURE, PACING, VIEWER)
FPS = (30.0, 60.0)
STILL, CHANGING = "still screen", "changing screen"
SOURCE, PLAIN = "ScreenSource.frames to a slot", "mss and a numpy copy"
PACED, SLEEPING = "Paced", "time.sleep(1 / fps)"
AWAKE = "Paced, never asleep: a floor"
LEAST_FRAMES = 3
"""Of a turn, so that it has intervals, however slow the machine."""
WARM_UP = 3


def run(
    *,
    parts: Sequence[str],
    size: tuple[int, int],
    methods: Sequence[str],
    engine: str,
    rounds: int,
    seconds: float,
) -> None:
    """Measure the parts that are named, or all of them, and print a table for each.

    Raises BadRequestError for an unknown part and for a size out of range, CaptureError where there
    is no screen or no room on it, and ServiceError for what the service refuses.
    """
    for part in parts:
        if part not in PARTS:
            msg = f"there is no part {part[:40]!r}; choose from {', '.join(PARTS)}"
            raise BadRequestError(msg)
    chosen = [part for part in PARTS if not parts or part in parts]
    frame_size = Size(*size)
    check_size(frame_size)
    if CAPTURE in chosen or PACING in chosen:
        _check_screen(frame_size)
        with ExitStack() as stack:
            # The title is this process's own: two that run at once must not capture each other.
            title = f"upscaler bench capture {os.getpid()}"
            window = stack.enter_context(MovingPicture(title, frame_size))
            region = _region_of(title, frame_size)
            where = f"{frame_size} of the display {os.environ.get('DISPLAY', '')}".rstrip()
            how = f"{rounds} interleaved rounds of {seconds:g} s, {cpu_name()}"
            if CAPTURE in chosen:
                times = _measure_capture(region, window, rounds, seconds)
                console.print(_captures(times, f"capture of {where}, in turns, {how}"))
            if PACING in chosen:
                paces = _measure_pacing(region, rounds, seconds)
                console.print(_paces(paces, f"pacing, {where}, {how}"))
    if VIEWER in chosen:
        viewer.run(size=size, methods=methods, engine=engine, rounds=rounds, seconds=seconds)


def _check_screen(size: Size) -> None:
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        msg = (
            "there is no screen to capture: DISPLAY is not set; name an X server, such as Xvfb, or "
            "give --part viewer, which needs none"
        )
        raise CaptureError(msg)
    open_region(Region(left=0, top=0, width=size.width, height=size.height)).close()


def _region_of(title: str, size: Size) -> Region:
    with closing(open_window(title)) as window:
        region = window.region()
    if region is None or (region.width, region.height) != (size.width, size.height):
        got = "hidden" if region is None else f"{region.width}x{region.height}"
        msg = f"the screen has no room for a window of {size}, it is {got}; give a smaller --size"
        raise CaptureError(msg)
    return region


def _slot(size: Size) -> Pixels:
    """A frame in shared memory, as the slots of a service are."""
    segment = Segment.make(size.pixels * PixelFormat.BGRA8.channels)
    segment.unlink()
    return np.frombuffer(segment.memory, np.uint8).reshape(size.shape(PixelFormat.BGRA8))


# How long a capture takes


@dataclass(slots=True, kw_only=True)
class Captures:
    """Times of one way to capture one kind of screen; `repeated` frames equalled the last one."""

    times_ms: list[float] = field(default_factory=list)
    repeated: int = 0


def _measure_capture(
    region: Region, window: MovingPicture, rounds: int, seconds: float
) -> dict[tuple[str, str], Captures]:
    """Capture by both ways in turns, frame by frame, and by turns a screen that changes or not."""
    size = Size(region.width, region.height)
    slot, plain_slot = _slot(size), _slot(size)
    found = {(screen, way): Captures() for screen in (STILL, CHANGING) for way in (SOURCE, PLAIN)}
    with ExitStack() as stack:
        source = stack.enter_context(open_region(region))
        plain = stack.enter_context(closing(PlainScreen(region)))
        frames = source.frames(lambda: slot)

        def plainly() -> bool:
            plain.read_into(plain_slot)
            return False

        ways: list[tuple[str, Callable[[], bool]]] = [
            (SOURCE, lambda: next(frames).repeated),
            (PLAIN, plainly),
        ]
        bar = stack.enter_context(progress())
        for _ in bar.track(range(rounds), description="captures"):
            for screen in (STILL, CHANGING):
                for _ in range(WARM_UP):
                    for _, capture in ways:
                        capture()
                ends_s = time.perf_counter() + seconds
                while time.perf_counter() < ends_s:
                    if screen == CHANGING:
                        window.draw()
                    ways.reverse()  # whoever comes second finds warmer caches
                    for way, capture in ways:
                        began_ns = time.perf_counter_ns()
                        repeated = capture()
                        spent_ns = time.perf_counter_ns() - began_ns
                        found[screen, way].times_ms.append(spent_ns / 1e6)
                        found[screen, way].repeated += repeated
    return found


def _captures(found: dict[tuple[str, str], Captures], title: str) -> Table:
    shown = table(title, "screen", "way", "frames", "repeated", "p50 ms", "p95 ms", "p99 ms")
    shown.columns[1].justify = "left"
    for (screen, way), captures in found.items():
        each = percentiles(captures.times_ms)
        shown.add_row(
            screen,
            way,
            f"{each.count}",
            f"{captures.repeated}" if way == SOURCE else "",
            *(f"{value:.3f}" for value in (each.p50_ms, each.p95_ms, each.p99_ms)),
        )
    return shown


# How steady the pace is


@dataclass(slots=True, kw_only=True)
class Pace:
    """Intervals between captures; `missed` frames were due in that time, and not taken."""

    intervals_ms: list[float] = field(default_factory=list)
    missed: int = 0

    def count_turn(self, captured_ns: Sequence[int], fps: float) -> None:
        """Count a turn by the times of its captures, at least two."""
        spent_s = (captured_ns[-1] - captured_ns[0]) / 1e9
        self.intervals_ms += (np.diff(captured_ns) / 1e6).tolist()
        self.missed += max(0, round(spent_s * fps) - (len(captured_ns) - 1))


def _measure_pacing(region: Region, rounds: int, seconds: float) -> dict[tuple[float, str], Pace]:
    slot = _slot(Size(region.width, region.height))
    ways: dict[str, Callable[[float], Iterator[CapturedFrame]]] = {}
    found: dict[tuple[float, str], Pace] = {}
    with ExitStack() as stack:
        source = stack.enter_context(open_region(region))
        ways[PACED] = lambda fps: Paced(source, fps).frames(lambda: slot)
        ways[AWAKE] = lambda fps: Paced(source, fps, wait=_awake_until).frames(lambda: slot)
        ways[SLEEPING] = lambda fps: _sleeping(source.frames(lambda: slot), fps)
        bar = stack.enter_context(progress())
        task = bar.add_task("pacing", total=rounds * len(FPS) * len(ways))
        for _ in range(rounds):
            for fps in FPS:
                for way, frames_at in ways.items():
                    captured_ns: list[int] = []
                    frames = frames_at(fps)
                    ends_s = time.perf_counter() + seconds
                    while time.perf_counter() < ends_s or len(captured_ns) < LEAST_FRAMES:
                        captured_ns.append(next(frames).captured_ns)
                    found.setdefault((fps, way), Pace()).count_turn(captured_ns, fps)
                    bar.advance(task)
    return found


def _awake_until(due_s: float) -> None:
    """Give the processor to nobody: what is late then was late by the machine's doing."""
    while time.perf_counter() < due_s:
        pass


def _sleeping(frames: Iterator[CapturedFrame], fps: float) -> Iterator[CapturedFrame]:
    """Frames by the loop that first comes to mind: what each one takes is added to every wait."""
    for frame in frames:
        yield frame
        time.sleep(1 / fps)


def _paces(found: dict[tuple[float, str], Pace], title: str) -> Table:
    shown = table(
        title,
        *("pace", "frames a second", "intervals", "mean ms", "off by %", "p99 ms"),
        *("p99 - nominal ms", "missed"),
    )
    for (fps, way), pace in found.items():
        each, nominal_ms = percentiles(pace.intervals_ms), 1000 / fps
        shown.add_row(
            way,
            f"{fps:g}",
            f"{each.count}",
            f"{each.mean_ms:.3f}",
            f"{100 * (each.mean_ms / nominal_ms - 1):+.2f}",
            f"{each.p99_ms:.3f}",
            f"{each.p99_ms - nominal_ms:.3f}",
            f"{pace.missed}",
        )
    return shown
