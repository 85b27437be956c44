"""`upscaler bench latency`: reads the options, shows how far it is and what came out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from rich.progress import BarColumn, Progress, TextColumn

from capture.files import open_files
from protocol.errors import BadRequestError, ServiceError
from upscaler.bench.latency.budgets import check_budgets, read_budgets
from upscaler.bench.latency.estimate import Estimate
from upscaler.bench.latency.files import REPORT, prepare, write_all
from upscaler.bench.latency.measure import Watch, run_plan
from upscaler.bench.latency.options import Options
from upscaler.bench.latency.plan import Case, Plan, make_plan
from upscaler.bench.latency.report import describe_mode
from upscaler.bench.latency.results import RUN_FILE, Measured, Run, write_run
from upscaler.bench.latency.source import MOST_FRAMES, Source, clip_source, synthetic_source
from upscaler.cli.running import Interrupted
from upscaler.console import console, table

SHOWN_S = 1.5
"""Between two looks at the progress: drawing it takes longer than all else that is done between two
frames, so fewer than half of the slowest, 0.6 s each, may be followed by it."""


def run(
    out: Path,
    *,
    targets: str,
    scales: str,
    methods: str,
    engine: str,
    models: Sequence[str],
    frames: int,
    fps: float | None,
    device_only: bool,
    transport: str | None,
    delivery: str | None,
    source: str,
    pixel_format: str,
    threads: int | None,
    seconds: float,
    rounds: int,
    budgets: Sequence[str],
) -> bool:
    """Measure, write everything into `out`, and return whether a budget was missed.

    Raises BadRequestError before anything is measured, ServiceError after a run that failed, and
    Interrupted after one that was; both have left what was measured until then.
    """
    served = {"transport": transport, "delivery": delivery}
    if device_only and any(served.values()):
        given = next(name for name, value in served.items() if value)
        msg = f"the device alone has no {given}; leave --{given} or --device-only out"
        raise BadRequestError(msg)
    chosen: dict[str, Any] = {name: value for name, value in served.items() if value}
    options = Options(
        fps=fps,
        device_only=device_only,
        frames=frames,
        seconds=seconds,
        rounds=rounds,
        pixel_format=pixel_format,
        engine=engine,
        threads=threads,
        models=tuple(models),
        **chosen,
    )
    plan = make_plan([targets], [scales], [methods], options.catalogue())
    limits = read_budgets(budgets)
    check_budgets(limits, plan.cases)
    pictures = _source(source)
    prepare(out)
    for left in plan.left_out:
        _say(f"left out {left.key}: {left.reason}")
    with _Bar(plan, options) as bar:
        finished = run_plan(
            plan,
            options,
            pictures,
            budgets=limits,
            watch=bar,
            save=lambda so_far: write_run(out / RUN_FILE, so_far),
        )
    write_all(out, finished)
    _print(finished)
    console.print(f"{out / REPORT}", soft_wrap=True)
    for miss in finished.misses:
        _say(f"missed {miss.line}")
    if finished.status == "interrupted":
        msg = f"interrupted; {out / REPORT} has the frames until then"
        raise Interrupted(msg)
    if finished.status == "failed":
        msg = f"{finished.error}; {out / REPORT} has what was measured until then"
        raise ServiceError(msg)
    return bool(finished.misses)


def _source(name: str) -> Source:
    if name == "clip":
        return clip_source()
    if name == "synthetic":
        return synthetic_source()
    with open_files(Path(name)) as opened:
        pictures = [frame.pixels.copy() for frame in islice(opened, MOST_FRAMES)]
    return Source(name=Path(name).name, pictures=pictures)


class _Bar(Watch):
    """Progress in the terminal, drawn by nobody but the run itself, and rarely."""

    def __init__(self, plan: Plan, options: Options) -> None:
        rounds = len(options.frames_of_rounds)
        self._count = len(plan.cases) * rounds
        self._estimate = Estimate(
            plan.in_order_of_cost,
            frames=options.frames,
            seconds=options.seconds,
            fps=options.fps,
            rounds=rounds,
        )
        self._began = self._case_began = self._shown = time.monotonic()
        self._number = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            auto_refresh=False,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=self._count, left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, case: Case, number: int) -> None:
        """Show what is measured next."""
        self._number = number
        self._case_began = time.monotonic()
        self._bar.update(self._task, description=f"{number} of {self._count}: {case.key}")
        self._show(0, 1)

    def frames(self, done: int, asked: int) -> None:
        """Show how far it is, now and then."""
        if time.monotonic() - self._shown > SHOWN_S:
            self._show(done, asked)

    def end(self, measured: Measured) -> None:
        """Learn from it."""
        self._estimate.learn(measured, time.monotonic() - self._began)

    def _show(self, done: int, asked: int) -> None:
        self._shown = time.monotonic()
        spent_s = self._shown - self._case_began
        left_s = round(self._estimate.left_s(done=done, spent_s=spent_s))
        self._bar.update(
            self._task,
            completed=self._number - 1 + min(1.0, done / asked),
            left=f"about {left_s // 60}:{left_s % 60:02} left",
        )
        self._bar.refresh()


def _print(run: Run) -> None:
    machine = run.machine
    shown = table(
        f"{describe_mode(run.settings)}; {machine.cpu}, {machine.cores} cores",
        *("combination", "engine", "frames", "p50 ms", "95 % interval", "p90", "p99", "p99.9"),
        *("max", "1% low avg fps", "> 16.67 ms", ""),
    )
    for each in run.combinations:
        engine = f"{each.engine}, emulated" if each.emulated else each.engine
        summary = each.summary
        if summary is None:
            shown.add_row(each.key, engine, "0", *[""] * 8, each.status)
            continue
        few = {name: "~" if name in each.unresolved else "" for name in ("p90", "p99", "p99.9")}
        shown.add_row(
            each.key,
            engine,
            str(summary.count),
            f"{summary.p50_ms:.2f}",
            f"{summary.p50_low_ms:.2f} - {summary.p50_high_ms:.2f}",
            f"{few['p90']}{summary.p90_ms:.2f}",
            f"{few['p99']}{summary.p99_ms:.2f}",
            f"{few['p99.9']}{summary.p999_ms:.2f}",
            f"{summary.max_ms:.2f}",
            f"{summary.low_average_fps:.1f}",
            f"{summary.past_16_67:.1%}",
            ", ".join(dict.fromkeys(_word(each))),
        )
    console.print(shown)
    for warning in run.warnings:
        _say(f"warning: {warning}")


def _word(each: Measured) -> list[str]:
    """The state and each warning by the word before its colon."""
    state = [] if each.status == "complete" else [each.status]
    return state + [warning.partition(":")[0][:16] for warning in each.warnings]


def _say(line: str) -> None:
    print(f"upscaler: {line}", file=sys.stderr)  # noqa: T201
