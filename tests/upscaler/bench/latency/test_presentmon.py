"""The columns of PresentMon 1.x, as programs that read them name them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest

from upscaler.bench.latency.collect import describe
from upscaler.bench.latency.loops import Shot
from upscaler.bench.latency.plan import Case
from upscaler.bench.latency.presentmon import presentmon_csv
from upscaler.bench.latency.results import Measured

MakeShots = Callable[..., list[Shot]]


def test_a_row_for_each_frame(case: Case, make_shots: MakeShots) -> None:
    shots = make_shots([5.0, 7.5, 6.0, 6.5], late_ms=0.5)
    shots[2].timing, shots[2].dropped = None, True
    text = presentmon_csv(describe(case, shots, status="complete"))
    assert text.splitlines()[0] == (
        "Application,ProcessID,SwapChainAddress,Runtime,SyncInterval,PresentFlags,Dropped,"
        "TimeInSeconds,msInPresentAPI,msBetweenPresents,AllowsTearing,PresentMode,"
        "msUntilRenderComplete,msUntilDisplayed,msBetweenDisplayChange"
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert columns["Dropped"] == ["0", "0", "1", "0"]
    assert columns["TimeInSeconds"] == ["0.0000000", "0.0200000", "0.0400000", "0.0600000"]
    assert columns["msBetweenPresents"] == ["4.5000", "20.0000", "20.0000", "20.0000"]
    assert columns["msInPresentAPI"] == ["0.0500", "0.0500", "0.0000", "0.0500"]
    assert columns["msUntilRenderComplete"] == ["4.3000", "6.8000", "0.0000", "5.8000"]
    assert columns["msUntilDisplayed"] == ["4.5000", "7.0000", "0.0000", "6.0000"]
    assert columns["msBetweenDisplayChange"] == ["4.5000", "22.5000", "0.0000", "39.0000"]


@pytest.mark.parametrize("method", ["fsr1", "fsr1:stops=0.5,denoise"])
def test_commas_stay_out_of_names(make_measured: Callable[..., Measured], method: str) -> None:
    text = presentmon_csv(make_measured([5.0], method=method))
    assert [line.count(",") for line in text.splitlines()] == [14, 14]


def test_a_run_without_frames_has_columns(make_measured: Callable[..., Measured]) -> None:
    assert len(presentmon_csv(make_measured([])).splitlines()) == 1
