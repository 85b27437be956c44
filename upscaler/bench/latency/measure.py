"""A plan from its first frame to its results: through a service, or on the device alone.

Each combination is opened anew, warmed up, and measured until it has its frames or its share of the
time. The share is what is left of the time divided by the combinations that are left, cheapest
first: fast ones need less than theirs, and slow ones get what remains. After each combination the
results so far are written, so that nothing but a power cut loses more than one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NoReturn

import numpy as np
from msgspec.structs import replace

from protocol.errors import BadRequestError, ServiceLostError, ServiceTimeoutError, UpscalerError
from protocol.frames import parse_format
from upscaler import __version__
from upscaler.bench.latency import collect, environment, statistics
from upscaler.bench.latency.budgets import Budget, judge, limits_for
from upscaler.bench.latency.loops import (
    NS,
    Limit,
    Take,
    closed_loop,
    device_loop,
    open_loop,
    without_garbage,
)
from upscaler.bench.latency.plan import Case, Plan
from upscaler.bench.latency.results import Measured, Mode, Run, Settings, Status
from upscaler.bench.latency.source import Source
from upscaler.catalogue import Catalogue
from upscaler.client import Client
from upscaler.contract import Request, Upscaler
from upscaler.service.process import ServiceProcess

WARM_UP, WARM_UP_S, FEWEST_WARM_UP = 10, 1.0, 2
"""Frames before the first that counts: ten, or those of a second, and two at least."""
MAX_FPS = 1000.0
NAME = "bench latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a plan is measured. `fps` makes an open loop; `seconds` are for all of it together."""

    fps: float | None = None
    device_only: bool = False
    frames: int = 300
    seconds: float = 240.0
    transport: Literal["shm", "inline"] = "shm"
    delivery: Literal["every", "latest"] = "every"
    credits: int = 2
    pixel_format: str = "rgba8"
    engine: str = "auto"
    threads: int | None = None
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_format(self.pixel_format)
        for what, value, offered in (
            ("transport", self.transport, ("shm", "inline")),
            ("delivery", self.delivery, ("every", "latest")),
        ):
            if value not in offered:
                _refuse(f"unknown {what} {value!r}; choose {' or '.join(offered)}")
        if self.fps is not None and not 0 < self.fps <= MAX_FPS:
            _refuse(f"a rate of {self.fps:g} frames a second is out of range; choose up to 1000")
        if self.device_only and self.fps is not None:
            _refuse("the device alone has no rate; leave --fps or --device-only out")
        if self.frames < 1 or not self.seconds > 0:
            _refuse(f"{self.frames} frames in {self.seconds:g} s cannot be; choose more")

    @property
    def mode(self) -> Mode:
        """Which loop."""
        if self.device_only:
            return "device"
        return "closed" if self.fps is None else "open"

    def catalogue(self) -> Catalogue:
        """What there is to measure; the engine is not started."""
        return Catalogue(engine=self.engine, models=self.models, threads=self.threads)

    def service_arguments(self, plan: Plan) -> list[str]:
        """What the service must be started with to measure `plan`."""
        given = ["--engine", self.engine]
        if self.threads is not None:
            given += ["--threads", str(self.threads)]
        for model in self.models:
            given += ["--model", model]
        for method in plan.methods:
            given += ["--method", method]
        return given

    def settings(self, source: Source) -> Settings:
        """Return them as results record them."""
        served = not self.device_only
        return Settings(
            mode=self.mode,
            fps=self.fps,
            frames=self.frames,
            seconds=self.seconds,
            warm_up=WARM_UP,
            transport=self.transport if served else None,
            delivery=self.delivery if served else None,
            credits=self.credits if served else None,
            pixel_format=self.pixel_format,
            source=source.name,
            engine=self.engine,
            threads=self.threads,
        )


class Watch:
    """Hears how far a run is; made to be overridden. An exception in it ends the run."""

    def begin(self, case: Case, number: int) -> None:
        """Combination `number`, from 1 on, begins."""

    def frames(self, done: int, asked: int) -> None:
        """So many frames have come back. Called where nothing is disturbed."""

    def end(self, measured: Measured) -> None:
        """A combination is finished, or broken off."""


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
    for number, case in enumerate(plan.in_order_of_cost, 1):
        measured = session.take(case, number, service)
        save(session.results("interrupted", "it is not finished"))
        if measured.status == "failed":
            status, error = "failed", f"{case.key}: {measured.error}"
            if session.lost:
                break
        if measured.status == "interrupted":
            status, error = "interrupted", f"interrupted at {case.key}"
            break
    finished = session.results(status, error, last=True)
    save(finished)
    return finished


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
        self._revision = environment.git_revision()
        self._versions = environment.versions()
        self._done: dict[str, Measured] = {}
        self.lost = False
        """Whether there is no service to go on with."""

    def take(self, case: Case, number: int, service: ServiceProcess | None) -> Measured:
        """Measure one combination."""
        left_s = self._options.seconds - (time.monotonic() - self._began)
        began = time.perf_counter_ns()
        share_s = max(0.0, left_s) / (len(self._plan.cases) - number + 1)
        take = Take(
            limit=Limit(frames=self._options.frames, until_ns=began + int(share_s * NS)),
            idle=lambda done: self._watch.frames(done, self._options.frames),
        )
        facts = _Facts()
        status: Status = "complete"
        error = ""
        try:
            self._watch.begin(case, number)
            if service is None:
                self._on_device(case, take, facts)
            else:
                self._through(service, case, take, facts)
            if len(take.shots) < self._options.frames:
                status = "shortened"
        except KeyboardInterrupt:
            status, error = "interrupted", "interrupted"
        except (ServiceLostError, ServiceTimeoutError) as lost:
            status, error, self.lost = "failed", str(lost), True
        except UpscalerError as failure:
            status, error = "failed", str(failure)
        measured = collect.describe(
            case,
            take.shots,
            status=status,
            error=error,
            fps=self._options.fps,
            limits_ms=limits_for(self._budgets, case),
        )
        measured = replace(
            measured,
            engine=facts.engine,
            device=facts.device,
            emulated=facts.emulated,
            transport=facts.transport,
            inline_reason=facts.inline_reason,
            warm_up=facts.warm_up,
            took_s=round((time.perf_counter_ns() - began) / NS, 3),
        )
        self._done[case.key] = measured
        self._watch.end(measured)
        return measured

    def _through(self, service: ServiceProcess, case: Case, take: Take, facts: _Facts) -> None:
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
            facts.engine, facts.device = welcome.engine, welcome.device
            facts.emulated = welcome.emulated
            facts.transport, facts.inline_reason = client.transport, client.inline_reason
            with without_garbage():
                warm = _warm_up()
                closed_loop(client, frames, warm)
                facts.warm_up = len(warm.shots)
                if options.fps is None:
                    closed_loop(client, frames, take)
                else:
                    open_loop(client, frames, take, fps=options.fps)

    def _on_device(self, case: Case, take: Take, facts: _Facts) -> None:
        colour = parse_format(self._options.pixel_format)
        frames = self._source.frames(case.input, colour)
        request = Request(
            method=case.method, size=case.input, scale=case.scale, pixel_format=colour
        )
        upscaler: Upscaler = self._catalogue.open(request)
        try:
            facts.engine, facts.device = upscaler.engine, upscaler.device
            facts.emulated = upscaler.emulated
            with without_garbage():
                warm = _warm_up()
                device_loop(upscaler, frames, warm)
                facts.warm_up = len(warm.shots)
                device_loop(upscaler, frames, take)
        finally:
            upscaler.close()

    def results(self, status: Status, error: str, *, last: bool = False) -> Run:
        """Return the results so far, in the order of the plan."""
        done = [self._done[case.key] for case in self._plan.cases if case.key in self._done]
        return Run(
            upscaler=__version__,
            git_revision=self._revision,
            made=self._made,
            took_s=round(time.monotonic() - self._began, 2),
            status=status,
            error=error,
            machine=environment.machine(
                load_start=self._load_start, load_end=environment.load() if last else None
            ),
            versions=self._versions,
            models=list(self._plan.models),
            settings=self._options.settings(self._source),
            rules=[*statistics.RULES, *collect.RULES],
            warnings=_warnings(done, self._load_start),
            combinations=done,
            left_out=list(self._plan.left_out),
            budgets=judge(self._budgets, self._plan.cases, done),
        )


@dataclass(slots=True)
class _Facts:
    """What ran a combination, as far as it is known."""

    engine: str = ""
    device: str = ""
    emulated: bool = False
    transport: str = ""
    inline_reason: str = ""
    warm_up: int = 0


def _warm_up() -> Take:
    until_ns = time.perf_counter_ns() + int(WARM_UP_S * NS)
    return Take(limit=Limit(frames=WARM_UP, until_ns=until_ns, fewest=FEWEST_WARM_UP))


def _warnings(done: Sequence[Measured], load_start: list[float] | None) -> list[str]:
    found = [environment.busy(load_start)]
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


def _refuse(why: str) -> NoReturn:
    raise BadRequestError(why)
