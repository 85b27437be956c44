"""Two clients against one: what a second client costs in frames a second, all together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np

from upscaler.client import Client
from upscaler.console import console, progress, table

SIZE = (640, 360)
METHOD = "quicksrnet-small"
ROUNDS = 5


def compare_throughput(endpoint: str, *, seconds: float) -> None:
    """Print frames a second of one client, and of two together, in turns of `seconds`."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack, progress() as bar:
        clients = [
            stack.enter_context(
                Client(
                    endpoint,
                    size=SIZE,
                    pixel_format="rgba8",
                    method=METHOD,
                    delivery="every",
                    name="bench",
                )
            )
            for _ in range(2)
        ]
        for _ in bar.track(range(ROUNDS), description="one client, two clients"):
            for count, measured in rates.items():
                measured.append(frames_a_second(clients[:count], seconds))
    medians = {count: float(np.median(measured)) for count, measured in rates.items()}
    ratio = medians[2] / medians[1]
    shown = table(
        f"{METHOD} at {SIZE[0]}x{SIZE[1]} rgba8, two frames in flight each, in turns",
        *("clients", "frames a second, all together", "least", "most"),
    )
    for count, measured in rates.items():
        shown.add_row(
            f"{count}", *(f"{rate:.1f}" for rate in (medians[count], min(measured), max(measured)))
        )
    shown.add_section()
    shown.add_row("two over one", f"{ratio:.3f}", "", "")
    console.print(shown)


def frames_a_second(
    clients: Sequence[Client], seconds: float, *, more: Callable[[], bool] = lambda: False
) -> float:
    """Return the rate of all clients together, two frames of each in flight for so many seconds.

    After that it goes on for as long as `more` says so. The clients are open, with nothing in
    flight, before and after.
    """
    for client in clients:
        for _ in range(2):
            client.submit(client.acquire())
    began, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds or more():
        for client in clients:
            client.release(client.receive())
            client.submit(client.acquire())
            count += 1
    for client in clients:
        for _ in range(2):
            client.release(client.receive())
    return count / spent
