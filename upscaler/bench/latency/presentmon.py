"""A combination as a capture of PresentMon, in the columns of its first version.

To PresentMon a frame is presented by a program and displayed by the system. Here it is submitted by
the client and arrives upscaled:

    TimeInSeconds          submitted, from the first frame on
    msInPresentAPI         inside `submit`
    msBetweenPresents      since the frame before was submitted; of the first, as long as it took
    msUntilRenderComplete  submitted to upscaled
    msUntilDisplayed       submitted to arrived; 0 for a dropped frame
    msBetweenDisplayChange since the frame before arrived; 0 for a dropped frame

In a closed loop msBetweenPresents, which tools take for the frame time, is the latency and what it
takes to write the next frame; in an open loop it is the rate that was asked for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from upscaler.bench.latency.results import FrameTimes, Measured

COLUMNS = (
    "Application",
    "ProcessID",
    "SwapChainAddress",
    "Runtime",
    "SyncInterval",
    "PresentFlags",
    "Dropped",
    "TimeInSeconds",
    "msInPresentAPI",
    "msBetweenPresents",
    "AllowsTearing",
    "PresentMode",
    "msUntilRenderComplete",
    "msUntilDisplayed",
    "msBetweenDisplayChange",
)
PROCESS_ID = 1
"""Of nobody in particular: a number that says nothing about the machine."""


def presentmon_csv(measured: Measured) -> str:
    """Return the capture as CSV text, one row for each frame in the order of submission."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    # Commas in options of methods would be quoted, which not every reader understands.
    application = f"upscaler {measured.key}".replace(",", ";")
    for row in _rows(measured.times):
        writer.writerow(
            [application, PROCESS_ID, "0x0", "Other", 0, 0, *row[:4], 0, "Other", *row[4:]]
        )
    return text.getvalue()


def _rows(times: FrameTimes) -> Iterator[tuple[int | str, ...]]:
    """Dropped, then the numbers in the order of the columns."""
    frames: list[tuple[float, int | None]] = [(at, index) for index, at in enumerate(times.at_ms)]
    frames += [(at, None) for at in times.dropped_at_ms]
    before_ms: float | None = None
    shown_ms: float | None = None
    for at_ms, index in sorted(frames, key=lambda frame: frame[0]):
        displayed_ms = 0.0 if index is None else times.total_ms[index] - times.late_ms[index]
        between_ms = displayed_ms if before_ms is None else at_ms - before_ms
        before_ms = at_ms
        if index is None:
            yield 1, f"{at_ms / 1000:.7f}", "0.0000", f"{between_ms:.4f}", *["0.0000"] * 3
            continue
        rendered_ms = displayed_ms - times.returned_ms[index] - times.arrived_ms[index]
        change_ms = displayed_ms if shown_ms is None else at_ms + displayed_ms - shown_ms
        shown_ms = at_ms + displayed_ms
        numbers = (times.call_ms[index], between_ms, rendered_ms, displayed_ms, change_ms)
        yield 0, f"{at_ms / 1000:.7f}", *(f"{number:.4f}" for number in numbers)
