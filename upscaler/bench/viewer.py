"""What the live view costs a client: frames a second without it, unwatched, and with a page open.

One service serves no page; the other serves one, which is open in some turns and not in others. The
turns follow one another in an order that changes from round to round, and ratios are of turns of
the same round, so that a machine's moods hit all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table

from protocol.errors import ServiceTimeoutError
from protocol.frames import PixelFormat, Size, parse_scale, upscaled_size
from protocol.slots import slot_count
from upscaler.bench.frames import game_frame
from upscaler.bench.page import OpenPage
from upscaler.bench.throughput import frames_a_second
from upscaler.client import Client
from upscaler.console import console, progress, table
from upscaler.control import Control
from upscaler.live.comparer import NAME
from upscaler.machine import cpu_name
from upscaler.service.process import ServiceProcess

METHODS = ("nearest", "fsr1", "quicksrnet-small")
SCALE = "2"
NONE, UNWATCHED, WATCHED = "no viewer", "serve --viewer, nobody watches", "one page open"
WARM_UP_S = 0.2
SETTLE_S = 3.0
"""Time of an open page to learn how busy the service is, before a turn that is as long."""
LONGEST_WAIT_S = 120.0


@dataclass(slots=True, kw_only=True)
class Rates:
    """Frames a second of one method in each round, by kind of turn, and the page's pictures."""

    frames: dict[str, list[float]] = field(
        default_factory=lambda: {NONE: [], UNWATCHED: [], WATCHED: []}
    )
    pictures: list[float] = field(default_factory=list)

    def ratios(self, turn: str) -> list[float]:
        """Each round's rate over that without a viewer."""
        pairs = zip(self.frames[turn], self.frames[NONE], strict=True)
        return [rate / least for rate, least in pairs]


def run(
    *, size: tuple[int, int], methods: Sequence[str], engine: str, rounds: int, seconds: float
) -> None:
    """Print the rates of a client at full rate, and what becomes of them with a viewer.

    Raises ServiceError for what the service refuses, such as an unknown method.
    """
    frame_size = Size(*size)
    target = upscaled_size(frame_size, parse_scale(SCALE))
    chosen = list(dict.fromkeys(methods or METHODS))
    offered = dict.fromkeys([*chosen, *(_other(method) for method in chosen)])
    arguments = ["--engine", engine]
    for method in offered:
        arguments += ["--method", method]
    rates = {method: Rates() for method in chosen}
    with ExitStack() as stack:
        plain = stack.enter_context(ServiceProcess(arguments))
        viewed = stack.enter_context(ServiceProcess([*arguments, "--viewer", "0"]))
        url = next(line.split()[1] for line in viewed.banner if line.startswith("view"))
        for method in chosen:
            for service in (plain, viewed):
                # They send nothing: they keep the upscalers, which turns then need not load.
                stack.enter_context(_client(service.endpoint, size, method))
        bar = stack.enter_context(progress())
        task = bar.add_task("with and without a viewer", total=rounds * len(chosen) * 3)
        for turn in range(rounds):
            for method, found in rates.items():
                turns = [NONE, UNWATCHED, WATCHED]
                for kind in turns[turn % 3 :] + turns[: turn % 3]:
                    service = plain if kind == NONE else viewed
                    # A session of its own: the page keeps to what is left over by the rate of the
                    # last frames, and that must not span turns in which others had theirs.
                    with _client(service.endpoint, size, method) as client:
                        if kind == WATCHED:
                            pictures, rate = _watched(client, url, method, seconds)
                            found.pictures.append(pictures)
                        else:
                            frames_a_second([client], WARM_UP_S)
                            rate = frames_a_second([client], seconds)
                    if kind == WATCHED:
                        _wait_until_unwatched(viewed.endpoint)
                    found.frames[kind].append(rate)
                    bar.advance(task)
    title = (
        f"{frame_size} to {target} rgba8, two frames in flight, {rounds} interleaved rounds of "
        f"{seconds:g} s, {cpu_name()}"
    )
    console.print(_shown(rates, title))


def _client(endpoint: str, size: tuple[int, int], method: str) -> Client:
    client = Client(
        endpoint,
        size=size,
        scale=SCALE,
        pixel_format="rgba8",
        method=method,
        delivery="every",
        name="bench",
    )
    frame = game_frame(Size(*size), PixelFormat.RGBA8)
    # Every slot has a game's picture before it is used: what is sent later is what lies there.
    slots = [client.acquire() for _ in range(slot_count(client.welcome.credits))]
    for slot in slots:
        np.copyto(slot, frame)
        client.release(slot)
    return client


def _other(method: str) -> str:
    """What the page shows beside `method`, a filter that is quick."""
    return "nearest" if method == "bicubic" else "bicubic"


def _watched(client: Client, url: str, method: str, seconds: float) -> tuple[float, float]:
    """Open a page, and return its pictures a second and the client's frames a second.

    The page has its cycles: a picture, then a pause that is longer the more that one took. A turn
    is of whole cycles, from one picture to another, however few they are: else short turns that
    begin after a picture would find the page cheaper than it is.
    """
    with OpenPage(url, left=_other(method), right=method) as page:

        def until_a_picture() -> Callable[[], bool]:
            """Return what says, from when it is first asked, whether the next one is to come."""
            ends_s = time.perf_counter() + seconds + LONGEST_WAIT_S
            wanted = 0

            def waiting() -> bool:
                nonlocal wanted
                wanted = wanted or page.pictures + 1
                if time.perf_counter() > ends_s:
                    msg = (
                        f"the page got no picture for {LONGEST_WAIT_S:g} s; choose a smaller "
                        "--size or a quicker --method"
                    )
                    raise ServiceTimeoutError(msg)
                return page.pictures < wanted and not page.ended

            return waiting

        # The first two take longer: the page opens its sessions for them.
        for _ in range(2):
            frames_a_second([client], 0, more=until_a_picture())
        frames_a_second([client], min(seconds, SETTLE_S), more=until_a_picture())
        page.check()
        before, began_s = page.pictures, time.perf_counter()
        rate = frames_a_second([client], seconds, more=until_a_picture())
        page.check()
        pictures = (page.pictures - before) / (time.perf_counter() - began_s)
    return pictures, rate


def _wait_until_unwatched(endpoint: str) -> None:
    """Wait until the page's own sessions have ended."""
    ends_s = time.perf_counter() + LONGEST_WAIT_S
    with Control(endpoint) as control:
        while any(client.name == NAME for client in control.report().clients):
            if time.perf_counter() > ends_s:
                msg = "sessions of a page that was closed go on; look into the service's log"
                raise ServiceTimeoutError(msg)
            time.sleep(0.02)


def _shown(rates: dict[str, Rates], title: str) -> Table:
    shown = table(
        title,
        *("method", "turn", "frames a second p50", "x no viewer p50", "least", "most"),
        "page's pictures a second",
    )
    shown.columns[1].justify = "left"
    for method, found in rates.items():
        shown.add_section()
        for kind, measured in found.frames.items():
            ratios = found.ratios(kind)
            spread = [float(np.median(ratios)), min(ratios), max(ratios)]
            shown.add_row(
                method,
                kind if kind != WATCHED else f"{kind}, {_other(method)} | {method}",
                f"{np.median(measured):.1f}",
                *("" if kind == NONE else f"{ratio:.3f}" for ratio in spread),
                f"{np.median(found.pictures):.1f}" if kind == WATCHED else "",
            )
    return shown
