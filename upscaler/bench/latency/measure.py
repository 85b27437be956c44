"""A plan from its first frame to its results: through a service, or on the device alone.

All combinations are gone through several times, in rounds, each time for a part of their frames:
what the machine does meanwhile then shows as a difference between rounds, and not as one between
combinations or between runs. In a round each is opened anew, warmed up, and measured until it has
its frames or its share of the round's time. The share is what is left of that divided by the
combinations that are left, cheapest first: fast ones need less than theirs, and slow ones get what
remains. After each the results so far are written, so that nothing but a power cut loses more than
one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from msgspec.structs import replace

from protocol.errors import ServiceLostError, ServiceTimeoutError, UpscalerError
from protocol.frames import parse_format
from upscaler import __version__
from upscaler.bench.latency import collect, environment, statistics
from upscaler.bench.latency.budgets import Budget, judge, limits_for
from upscaler.bench.latency.loops import (
    FEWEST,
    NS,
    Limit,
    Shot,
    Take,
    closed_loop,
    device_loop,
    open_loop,
    without_garbage,
)
from upscaler.bench.latency.options import WARM_UP, Options
from upscaler.bench.latency.plan import Case, Plan
from upscaler.bench.latency.results import Machine, Measured, Run, Status
from upscaler.bench.latency.source import Source
from upscaler.client import Client
from upscaler.contract import Request, Upscaler
from upscaler.service.process import ServiceProcess

WARM_UP_S, FEWEST_WARM_UP = 1.0, 2
"""`WARM_UP` frames come before the first of a round that counts, or those of its share of a second,
and two at least."""
NAME = "bench latency"


class Watch:
    """Hears how far a run is; made to be overridden. An exception in it ends the run."""

    def begin(self, case: Case, number: int) -> None:
        """A combination begins, or goes on in another round: `number` counts on, from 1."""

    def frames(self, done: int, asked: int) -> None:
        """So many frames of the round have come back. Called where nothing is disturbed."""

    def end(self, measured: Measured) -> None:
        """A round of a combination is finished, or broken off."""


def run_plan(
    plan: Plan,
    options: Options,
    source: Source,
    *,
    budgets: Sequence[Budget] = (),
    watch: Watch | None = None,
    save: Callable[[Run], None] = lambda _: None,
) -> Run:
    """Measure with a service of its own, unless the device alone is wanted; see `measure`.

    Raises ServiceError when the service does not start.
    """
    if options.device_only:
        return measure(plan, options, source, None, budgets=budgets, watch=watch, save=save)
    with ServiceProcess(options.service_arguments(plan)) as service:
        return measure(plan, options, source, service, budgets=budgets, watch=watch, save=save)


def measure(
    plan: Plan,
    options: Options,
    source: Source,
    service: ServiceProcess | None,
    *,
    budgets: Sequence[Budget] = (),
    watch: Watch | None = None,
    save: Callable[[Run], None] = lambda _: None,
) -> Run:
    """Measure every combination of `plan` through `service`, or without one on the device alone.

    `save` gets the results after each combination. What goes wrong, and an interrupt, ends up in
    the results: their `status` and `error` say so, and what was measured until then is kept.
    """
    session = _Session(plan, options, source, budgets, watch or Watch())
    status: Status = "complete"
    error = ""
    for step in session.steps():
        measured = session.take(step, service)
        save(session.results("interrupted", "it is not finished"))
        if measured.status == "failed":
            status, error = "failed", error or f"{measured.key}: {measured.error}"
            if session.lost:
                break
        if session.interrupted:
            status, error = "interrupted", f"interrupted at {measured.key}"
            break
    finished = session.results(status, error, last=True)
    save(finished)
    return finished


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One combination in one round."""

    number: int
    case: Case
    frames: int
    until_ns: int


class _Session:
    """The state of a run."""

    def __init__(
        self,
        plan: Plan,
        options: Options,
        source: Source,
        budgets: Sequence[Budget],
        watch: Watch,
    ) -> None:
        self._plan = plan
        self._options = options
        self._source = source
        self._budgets = budgets
        self._watch = watch
        self._catalogue = options.catalogue()
        self._made = datetime.now(UTC).isoformat(timespec="seconds")
        self._began = time.monotonic()
        self._load_start = environment.load()
        self._ticks = environment.processor_ticks()
        self._machine = environment.machine(load_start=self._load_start, load_end=None)
        self._revision = environment.git_revision()
        self._versions = environment.versions()
        self._taken: dict[str, _Taken] = {}
        self._done: dict[str, Measured] = {}
        self.lost = False
        """Whether there is no service to go on with."""
        self.interrupted = False

    def steps(self) -> Iterator[_Step]:
        """Yield what to measure; those that have failed are left out of later rounds."""
        rounds = self._options.frames_of_rounds
        cases = self._plan.in_order_of_cost
        ends_ns = time.perf_counter_ns() + int(self._options.seconds * NS)
        for round_number, frames in enumerate(rounds):
            now_ns = time.perf_counter_ns()
            round_ns = now_ns + max(0, ends_ns - now_ns) // (len(rounds) - round_number)
            for place, case in enumerate(cases):
                if case.key in self._taken and self._taken[case.key].failure:
                    continue
                now_ns = time.perf_counter_ns()
                yield _Step(
                    number=round_number * len(cases) + place + 1,
                    case=case,
                    frames=frames,
                    until_ns=now_ns + max(0, round_ns - now_ns) // (len(cases) - place),
                )

    def take(self, step: _Step, service: ServiceProcess | None) -> Measured:
        """Measure one combination in one round, and return what there is of it by now."""
        began = time.perf_counter_ns()
        case, frames = step.case, step.frames
        taken = self._taken.setdefault(case.key, _Taken())
        fewest = -(-FEWEST // len(self._options.frames_of_rounds))
        take = Take(
            limit=Limit(frames=frames, until_ns=step.until_ns, fewest=fewest),
            idle=lambda done: self._watch.frames(done, frames),
        )
        taken.rounds.append(take.shots)
        try:
            self._watch.begin(case, step.number)
            if service is None:
                self._on_device(case, take, taken)
            else:
                self._through(service, case, take, taken)
            taken.finished += 1
        except KeyboardInterrupt:
            self.interrupted = True
        except (ServiceLostError, ServiceTimeoutError) as lost:
            taken.failure, self.lost = str(lost), True
        except UpscalerError as failure:
            taken.failure = str(failure)
        taken.spent_ns += time.perf_counter_ns() - began
        measured = self._done[case.key] = self._describe(case, taken)
        self._watch.end(measured)
        return measured

    def _describe(self, case: Case, taken: _Taken) -> Measured:
        status: Status = "complete"
        error = taken.failure
        rounds = len(self._options.frames_of_rounds)
        if taken.failure:
            status = "failed"
        elif taken.finished < rounds:
            status, error = "interrupted", f"{taken.finished} of {rounds} rounds are whole"
        elif sum(map(len, taken.rounds)) < self._options.frames:
            status = "shortened"
        measured = collect.describe(
            case,
            *taken.rounds,
            status=status,
            error=error,
            fps=self._options.fps,
            limits_ms=limits_for(self._budgets, case),
        )
        return replace(
            measured,
            engine=taken.engine,
            device=taken.device,
            emulated=taken.emulated,
            transport=taken.transport,
            inline_reason=taken.inline_reason,
            warm_up=taken.warm_up,
            took_s=round(taken.spent_ns / NS, 3),
        )

    def _through(self, service: ServiceProcess, case: Case, take: Take, taken: _Taken) -> None:
        options = self._options
        frames = self._source.frames(case.input, parse_format(options.pixel_format))
        with Client(
            service.endpoint,
            size=(case.input.width, case.input.height),
            scale=case.scale,
            pixel_format=options.pixel_format,
            method=case.method,
            credits=options.credits,
            delivery=options.delivery,
            transport=options.transport,
            name=NAME,
        ) as client:
            welcome = client.welcome
            taken.engine, taken.device = welcome.engine, welcome.device
            taken.emulated = welcome.emulated
            taken.transport, taken.inline_reason = client.transport, client.inline_reason
            with without_garbage():
                warm = self._warm_up()
                closed_loop(client, frames, warm)
                taken.warm_up += len(warm.shots)
                if options.fps is None:
                    closed_loop(client, frames, take)
                else:
                    open_loop(client, frames, take, fps=options.fps)

    def _on_device(self, case: Case, take: Take, taken: _Taken) -> None:
        colour = parse_format(self._options.pixel_format)
        frames = self._source.frames(case.input, colour)
        request = Request(
            method=case.method, size=case.input, scale=case.scale, pixel_format=colour
        )
        upscaler: Upscaler = self._catalogue.open(request)
        try:
            taken.engine, taken.device = upscaler.engine, upscaler.device
            taken.emulated = upscaler.emulated
            with without_garbage():
                warm = self._warm_up()
                device_loop(upscaler, frames, warm)
                taken.warm_up += len(warm.shots)
                device_loop(upscaler, frames, take)
        finally:
            upscaler.close()

    def _warm_up(self) -> Take:
        rounds = len(self._options.frames_of_rounds)
        until_ns = time.perf_counter_ns() + int(WARM_UP_S * NS) // rounds
        return Take(limit=Limit(frames=WARM_UP, until_ns=until_ns, fewest=FEWEST_WARM_UP))

    def results(self, status: Status, error: str, *, last: bool = False) -> Run:
        """Return the results so far, in the order of the plan."""
        done = [self._done[case.key] for case in self._plan.cases if case.key in self._done]
        machine = replace(
            self._machine,
            load_end=environment.load() if last else None,
            stolen=environment.stolen(self._ticks, environment.processor_ticks()),
        )
        return Run(
            upscaler=__version__,
            git_revision=self._revision,
            made=self._made,
            took_s=round(time.monotonic() - self._began, 2),
            status=status,
            error=error,
            machine=machine,
            versions=self._versions,
            models=list(self._plan.models),
            settings=self._options.settings(self._source),
            rules=[*statistics.RULES, *collect.RULES],
            warnings=_warnings(done, machine),
            combinations=done,
            left_out=list(self._plan.left_out),
            budgets=judge(self._budgets, self._plan.cases, done),
        )


@dataclass(slots=True)
class _Taken:
    """The rounds of a combination, and what ran it, as far as it is known."""

    rounds: list[list[Shot]] = field(default_factory=list)
    finished: int = 0
    failure: str = ""
    spent_ns: int = 0
    engine: str = ""
    device: str = ""
    emulated: bool = False
    transport: str = ""
    inline_reason: str = ""
    warm_up: int = 0


def _warnings(done: Sequence[Measured], machine: Machine) -> list[str]:
    found = [environment.busy(machine.load_start), environment.robbed(machine.stolen)]
    doubtful = sum(bool(each.warnings) for each in done)
    if doubtful:
        found.append(f"{doubtful} of {len(done)} combinations have warnings of their own")
    emulated = sorted({each.device for each in done if each.emulated})
    if emulated:
        found.append(f"EMULATED: {', '.join(emulated)}; right results, meaningless times")
    spent = [each.harness.p50_ms for each in done if each.harness is not None]
    if spent and (most := float(np.max(spent))) > 0.1:
        found.append(f"the harness spent {most:.3f} ms between two frames at p50, more than 0.1")
    return [each for each in found if each]
