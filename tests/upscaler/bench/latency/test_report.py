from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from msgspec.structs import replace

from upscaler.bench.latency.budgets import judge, parse_budget
from upscaler.bench.latency.plan import Case
from upscaler.bench.latency.report import describe_mode, write_report
from upscaler.bench.latency.results import LeftOut, Measured, Run

MakeMeasured = Callable[..., Measured]
MakeRun = Callable[..., Run]


def words_of(path: Path) -> str:
    text = re.sub(r"<style>.*?</style>", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_everything_is_said(tmp_path: Path, make_measured: MakeMeasured, make_run: MakeRun) -> None:
    measured = make_measured([5.0] * 80, limits_ms=[4.0])
    run = make_run(
        measured,
        make_measured([], method="bicubic", status="failed"),
        left_out=[LeftOut(key="720p/1.5x/fsr1", reason="cannot be made")],
        warnings=["the machine was busy"],
    )
    write_report(tmp_path / "report.html", run, {})
    words = words_of(tmp_path / "report.html")
    for said in (
        "A processor, 2 cores",
        "0.10 before, 1.00 after",
        "every: no frame is dropped; 2 in flight at most",
        "quicksrnet-small-x2 abababababab",
        "1.2.3, commit 0123456789ab",
        "the machine was busy",
        "1080p/2x/fsr1: too short: 80 frames, and 100 are needed",
        "1080p 1920x1080 fsr1 ! 2x 960x540",
        "80 5.00 5.00 - 5.00",
        "> 4 ms (budget)",
        "no frame came back",
        "the paper, network alone) 2.24",
        "720p/1.5x/fsr1: cannot be made",
        "too noisy: the 95 % interval",
    ):
        assert said in words, said
    assert "EMULATED" not in words
    assert "<script" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_broke_off_and_what_is_emulated_stand_at_the_top(
    tmp_path: Path, make_measured: MakeMeasured, make_run: MakeRun
) -> None:
    emulated = replace(make_measured([5.0] * 120), emulated=True)
    run = make_run(emulated, status="interrupted", error="interrupted at 1080p/2x/fsr1")
    write_report(tmp_path / "report.html", run, {})
    words = words_of(tmp_path / "report.html")
    assert "Latency interrupted EMULATED NPU: times mean nothing" in words
    assert "interrupted at 1080p/2x/fsr1" in words
    assert "fsr1 emulated 2x" in words


def test_budgets_say_whether_they_were_kept(
    tmp_path: Path, case: Case, make_measured: MakeMeasured, make_run: MakeRun
) -> None:
    measured = make_measured([5.0] * 120)
    budgets = [parse_budget("1080p:p99=4"), parse_budget("1080p:p50=6")]
    run = make_run(measured, budgets=judge(budgets, [case], [measured]))
    write_report(tmp_path / "report.html", run, {})
    words = words_of(tmp_path / "report.html")
    assert "MISSED 1080p/2x/fsr1: p99 is 5.000 ms, at most 4 ms is asked for" in words
    assert "kept 1080p/2x/fsr1: p50 is 5.000 ms, at most 6 ms is asked for" in words


@pytest.mark.parametrize(
    ("mode", "fps", "said"),
    [("closed", None, "closed loop"), ("open", 60.0, "at 60 fps"), ("device", None, "alone")],
)
def test_modes(make_run: MakeRun, mode: str, fps: float | None, said: str) -> None:
    assert said in describe_mode(replace(make_run().settings, mode=mode, fps=fps))
