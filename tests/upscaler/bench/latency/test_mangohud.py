"""A log of MangoHud, read as its own `mangoplot` does: columns are where a line holds "fps"."""

from __future__ import annotations

import csv
from collections.abc import Callable

from msgspec.structs import replace

from upscaler.bench.latency.mangohud import mangohud_log
from upscaler.bench.latency.results import Machine, Measured, Run


def machine(make_run: Callable[..., Run]) -> Machine:
    return make_run().machine


def test_a_log(make_measured: Callable[..., Measured], make_run: Callable[..., Run]) -> None:
    measured = replace(make_measured([5.0, 8.0]), device="CPU: A, B", engine="numba")
    rows = list(csv.reader(mangohud_log(measured, machine(make_run)).splitlines()))
    assert rows[0] == ["os", "cpu", "gpu", "ram", "kernel", "driver", "cpuscheduler"]
    assert rows[1] == [
        *("Linux", "A processor", "CPU: A; B", "4194304", "6.1", "numba", "performance")
    ]
    assert "fps" in rows[2]
    frames = [dict(zip(rows[2], row, strict=True)) for row in rows[3:]]
    assert [frame["frametime"] for frame in frames] == ["5.0000", "8.0000"]
    assert [frame["fps"] for frame in frames] == ["200.0000", "125.0000"]
    assert [frame["elapsed"] for frame in frames] == ["5000000", "28000000"]
    assert {frame["cpu_load"] for frame in frames} == {"0"}


def test_emulation_is_said(
    make_measured: Callable[..., Measured], make_run: Callable[..., Run]
) -> None:
    measured = replace(make_measured([5.0]), device="Hexagon", emulated=True)
    assert ",Hexagon (emulated)," in mangohud_log(measured, machine(make_run))
