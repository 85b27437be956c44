"""Runs made of given times, for tests of what is made of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest

from protocol.frames import Size
from upscaler.bench.latency import statistics
from upscaler.bench.latency.collect import describe
from upscaler.bench.latency.loops import Shot
from upscaler.bench.latency.plan import Case, input_size, parse_targets
from upscaler.bench.latency.results import Machine, Measured, ModelFact, Run, Settings, Status
from upscaler.timings import Timing

MakeShots = Callable[..., list[Shot]]
MakeRun = Callable[..., Run]
MS = 1_000_000


def make_case(target: str = "1080p", method: str = "fsr1", scale: str = "2") -> Case:
    ((name, size),) = parse_targets([target])
    ratio = Fraction(scale)
    source = input_size(name, size, ratio)
    return Case(target=name, scale=ratio, method=method, input=source, output=size)


@pytest.fixture
def case() -> Case:
    """960x540 to 1080p at 2x by fsr1."""
    return make_case()


@pytest.fixture
def make_shots() -> MakeShots:
    """Frames that took so many ms: of those 0.1 sent, 0.2 waited, 0.1 returned and 0.1 arrived.

    make(times_ms, late_ms=0.0, every_ms=20.0).
    """

    def make(
        times_ms: Sequence[float], *, late_ms: float = 0.0, every_ms: float = 20.0
    ) -> list[Shot]:
        shots = []
        for number, total_ms in enumerate(times_ms):
            meant_ns = 5_000_000_000 + round(number * every_ms * MS)
            submitted_ns = meant_ns + round(late_ms * MS)
            received_ns = submitted_ns + MS // 10
            started_ns = received_ns + MS // 5
            arrived_ns = meant_ns + round(total_ms * MS)
            timing = Timing(
                submitted_ns=submitted_ns,
                received_ns=received_ns,
                started_ns=started_ns,
                finished_ns=arrived_ns - MS // 5,
                returned_ns=arrived_ns - MS // 10,
                arrived_ns=arrived_ns,
            )
            shots.append(
                Shot(
                    meant_ns=meant_ns,
                    submitted_ns=submitted_ns,
                    call_ns=50_000,
                    harness_ns=20_000,
                    timing=timing,
                )
            )
        return shots

    return make


@pytest.fixture
def make_measured(make_shots: MakeShots) -> Callable[..., Measured]:
    """make(times_ms, target="1080p", method="fsr1", scale="2", status="complete", limits_ms=()).

    `rounds=3` makes three rounds of a third of the times each.
    """

    def make(
        times_ms: Sequence[float],
        *,
        target: str = "1080p",
        method: str = "fsr1",
        scale: str = "2",
        status: Status = "complete",
        limits_ms: Sequence[float] = (),
        rounds: int = 1,
    ) -> Measured:
        each = len(times_ms) // rounds
        shots = [make_shots(times_ms[at * each : (at + 1) * each]) for at in range(rounds)]
        case = make_case(target, method, scale)
        return describe(case, *shots, status=status, limits_ms=limits_ms)

    return make


@pytest.fixture
def make_run() -> MakeRun:
    """make(*combinations, **fields of the run)."""

    def make(*combinations: Measured, **fields: object) -> Run:
        known: dict[str, object] = {
            "upscaler": "1.2.3",
            "git_revision": "0123456789ab",
            "made": "2026-03-02T14:05:09+00:00",
            "took_s": 12.5,
            "status": "complete",
            "machine": Machine(
                cpu="A processor",
                cores=2,
                memory_mib=4096,
                system="Linux 6.1, x86_64",
                features=["avx2"],
                governor="performance",
                load_start=[0.1, 0.1, 0.1],
                load_end=[1.0, 0.5, 0.2],
            ),
            "versions": {"python": "3.11.7"},
            "models": [
                ModelFact(
                    method="quicksrnet-small",
                    scale="2",
                    name="quicksrnet-small-x2",
                    weights_sha256="ab" * 32,
                )
            ],
            "settings": Settings(
                mode="closed",
                fps=None,
                frames=300,
                seconds=240,
                warm_up=10,
                transport="shm",
                delivery="every",
                credits=2,
                pixel_format="rgba8",
                source="clip",
                engine="auto",
                threads=None,
            ),
            "rules": list(statistics.RULES),
        }
        return Run(**(known | fields), combinations=list(combinations))  # type: ignore[arg-type]

    return make


assert make_case().input == Size(960, 540)
