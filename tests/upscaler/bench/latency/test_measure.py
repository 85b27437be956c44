"""Whole runs on small frames, through a real service; what they take is no business of a test."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from protocol.errors import ServiceError
from upscaler.bench.latency.budgets import parse_budget
from upscaler.bench.latency.measure import Watch, measure, run_plan
from upscaler.bench.latency.options import Options
from upscaler.bench.latency.plan import Case, Plan, make_plan
from upscaler.bench.latency.results import Measured, Run
from upscaler.bench.latency.source import Source, synthetic_source
from upscaler.service.process import ServiceProcess


class Recorder(Watch):
    """Remembers what it hears, and does what a test wants at some frame."""

    def __init__(self, at: int = 0, do: Callable[[], None] = lambda: None) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._at, self._do, self._heard = at, do, 0

    def begin(self, case: Case, number: int) -> None:
        assert number > len(self.begun)
        self.begun.append(case.key)

    def frames(self, done: int, asked: int) -> None:
        assert 0 <= done <= asked
        self._heard += 1
        if self._heard == self._at:
            self._do()

    def end(self, measured: Measured) -> None:
        self.ended.append(measured.key)


@pytest.fixture(scope="module")
def source() -> Source:
    return synthetic_source()


def plan_of(options: Options, methods: str = "nearest,bicubic", targets: str = "128x72") -> Plan:
    return make_plan([targets], ["2"], [methods], options.catalogue())


def test_each_combination_is_measured(service: ServiceProcess, source: Source) -> None:
    options = Options(frames=12, rounds=2)
    plan, watch, saved = plan_of(options, targets="128x72,64x36"), Recorder(), list[Run]()
    budget = parse_budget("64x36:p99=100000")
    run = measure(plan, options, source, service, budgets=[budget], watch=watch, save=saved.append)
    assert (run.status, run.error, run.emulated) == ("complete", "", False)
    # Small ones are measured first, all in each round; results are in the order asked for.
    assert watch.begun == watch.ended == 2 * [case.key for case in plan.in_order_of_cost]
    assert [each.key for each in run.combinations] == [case.key for case in plan.cases]
    for each in run.combinations:
        assert each.summary is not None
        assert (each.summary.count, each.status) == (12, "complete")
        assert each.times.rounds == [6, 6]
        assert each.times.at_ms == sorted(each.times.at_ms)
        assert (each.engine, each.transport, each.emulated) == ("opencv", "shm", False)
        assert each.device.startswith("CPU: ")
        assert each.warm_up >= 2
    assert [verdict.kept for verdict in run.budgets] == [True, True]
    assert [len(each.combinations) for each in saved] == [1, 2, 3, 4, 4, 4, 4, 4, 4]
    assert [each.status for each in saved] == ["interrupted"] * 8 + ["complete"]
    of_one_round = saved[3].combinations[0]
    assert (of_one_round.status, of_one_round.error) == ("interrupted", "1 of 2 rounds are whole")
    assert saved[-1] == run
    assert run.settings.mode == "closed"
    assert run.versions["python"]


def test_an_open_loop_inline(service: ServiceProcess, source: Source) -> None:
    options = Options(frames=10, fps=200, transport="inline", rounds=1)
    run = measure(plan_of(options, "nearest"), options, source, service)
    (measured,) = run.combinations
    assert (run.settings.mode, run.settings.fps) == ("open", 200)
    assert measured.transport == "inline"
    assert measured.summary is not None
    assert measured.summary.count == 10
    assert measured.harness is None


def test_the_device_alone(source: Source) -> None:
    options = Options(frames=10, rounds=1, device_only=True, engine="onnxruntime")
    run = run_plan(plan_of(options, "quicksrnet-small,nearest"), options, source)
    network, nearest = run.combinations
    assert (network.engine, nearest.engine) == ("onnxruntime", "opencv")
    assert (network.transport, run.settings.transport, run.settings.delivery) == ("", None, None)
    assert list(network.stages) == ["upscaled", "total"]
    assert network.times.total_ms == network.times.upscaled_ms
    assert [one.name for one in run.models] == ["quicksrnet-small-x2"]


def test_a_share_of_the_time_makes_fewer_frames(service: ServiceProcess, source: Source) -> None:
    options = Options(frames=1000, rounds=1, seconds=1e-3)
    run = measure(plan_of(options, "nearest"), options, source, service)
    (measured,) = run.combinations
    assert (run.status, measured.status) == ("complete", "shortened")
    assert measured.summary is not None
    assert measured.summary.count == 5
    assert measured.warnings[0] == "too short: 5 frames, and 100 are needed"


def test_a_service_that_dies_fails_the_run_and_keeps_what_there_is(source: Source) -> None:
    options = Options(frames=50, rounds=1)
    plan = plan_of(options)
    with ServiceProcess(options.service_arguments(plan)) as service:
        # In the second combination, after the 50 of the first.
        watch = Recorder(60, lambda: service.send_signal(signal.SIGKILL))
        run = measure(
            plan, options, source, service, budgets=[parse_budget("p50=1e6")], watch=watch
        )
    assert run.status == "failed"
    assert run.error.startswith("72p/2x/bicubic: the service at ")
    nearest, bicubic = run.combinations
    assert (nearest.status, bicubic.status) == ("complete", "failed")
    assert len(nearest.times.total_ms) == 50
    assert 9 <= len(bicubic.times.total_ms) <= 10
    assert "has gone" in bicubic.error
    kept = {verdict.key: verdict.kept for verdict in run.budgets}
    assert kept == {"72p/2x/nearest": True, "72p/2x/bicubic": False}


def test_an_interrupt_keeps_what_there_is(service: ServiceProcess, source: Source) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    options = Options(frames=100, rounds=2)
    watch = Recorder(7, interrupt)
    run = measure(plan_of(options), options, source, service, watch=watch)
    assert (run.status, run.error) == ("interrupted", "interrupted at 72p/2x/nearest")
    (nearest,) = run.combinations
    assert (nearest.status, len(nearest.times.total_ms)) == ("interrupted", 7)
    assert nearest.error == "0 of 2 rounds are whole"


def test_a_combination_that_fails_does_not_end_the_run(
    service: ServiceProcess, source: Source
) -> None:
    # The size is fine and the ratio is not, for the network that the service has.
    options = Options(frames=6, rounds=2)
    plan = plan_of(options, "quicksrnet-small,nearest")
    broken = Plan(
        cases=tuple(
            Case(
                target=case.target,
                scale=case.scale,
                method="unheard-of" if case.is_network else case.method,
                input=case.input,
                output=case.output,
            )
            for case in plan.cases
        )
    )
    watch = Recorder()
    run = measure(broken, options, source, service, watch=watch)
    assert len(watch.begun) == 3  # it is left out of the second round
    assert run.status == "failed"
    assert "unheard-of" in run.error
    assert [each.status for each in run.combinations] == ["failed", "complete"]


def test_a_service_that_does_not_start(source: Source) -> None:
    options = Options(models=("nowhere.onnx",))
    plan = plan_of(Options(), "nearest")
    with pytest.raises(ServiceError, match=r"there is no model file nowhere\.onnx"):
        run_plan(plan, options, source)
