"""Latency in a test suite of your own: `python -m pytest examples/latency`.

Each build must keep these budgets on this machine. LATENCY_REPORT is a folder to keep reports in,
LATENCY_SLACK a factor for slower machines.
"""

import os
from pathlib import Path

import pytest

from upscaler.testing import latency_run

# Milliseconds that the 99th percentile may take, by size of the result.
BUDGETS_MS = {"540p": 16.67, "1080p": 33.33}
SLACK = float(os.environ.get("LATENCY_SLACK", "1"))


@pytest.mark.parametrize("target", BUDGETS_MS)
def test_bicubic_is_fast_enough(target):
    report = os.environ.get("LATENCY_REPORT")
    run = latency_run(
        target,
        methods="bicubic",
        frames=100,
        budgets=[f"{target}:p99={BUDGETS_MS[target] * SLACK}"],
        out=Path(report) / target if report else None,
    )
    assert not run.misses, "\n".join(miss.line for miss in run.misses)


def test_a_game_at_60_fps_loses_no_frame():
    run = latency_run("540p", methods="nearest", fps=60, frames=100)
    measured = run.combination("540p", "nearest")
    assert measured.dropped == 0
    assert measured.summary.count == 100
