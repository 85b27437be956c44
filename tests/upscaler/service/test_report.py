from __future__ import annotations

import time

import msgspec
import pytest

from protocol.errors import ErrorCode, ServiceError
from protocol.messages import Outcome
from upscaler.catalogue import Catalogue
from upscaler.service.report import (
    BOUNDS_MS,
    MOST_PENDING,
    ClientReport,
    Histogram,
    Reporter,
    ServiceReport,
    Totals,
    decode_report,
    describe_catalogue,
    encode_report,
)
from upscaler.testing import FakeEngine
from upscaler.timings import Timing

MS = 1_000_000


def timing(upscaled_ms: float, *, deadline_ns: int = 0) -> Timing:
    return Timing(
        submitted_ns=MS,
        received_ns=2 * MS,
        started_ns=3 * MS,
        finished_ns=3 * MS + int(upscaled_ms * MS),
        returned_ns=400 * MS,
        arrived_ns=0,
        deadline_ns=deadline_ns,
    )


def test_a_duration_is_in_the_first_bucket_that_holds_it() -> None:
    histogram = Histogram()
    for spent_ms in (0.05, 0.1, 16.67, 16.68, 5000):
        histogram.add(spent_ms)
    counted = dict(zip([*BOUNDS_MS, "more"], histogram.counts, strict=True))
    assert {bound: count for bound, count in counted.items() if count} == {
        0.1: 2,
        16.67: 1,
        33.33: 1,
        "more": 1,
    }
    assert histogram.sum_ms == pytest.approx(5033.5)


def test_totals_count_outcomes_and_stages_by_method() -> None:
    totals = Totals()
    for _ in range(2 * MOST_PENDING + 1):
        totals.add("small", timing(5), Outcome.UPSCALED)
    totals.add("small", timing(5, deadline_ns=4 * MS), Outcome.FALLBACK)
    totals.add("small", timing(5), Outcome.DROPPED)
    totals.add_failure("fsr1")
    small = totals.methods()["small"]
    assert (small.upscaled, small.fallbacks, small.dropped) == (2 * MOST_PENDING + 1, 1, 1)
    assert (small.missed, small.failed) == (1, 0)
    assert list(small.stages) == ["sent", "waited", "upscaled", "returned"]
    assert sum(small.stages["upscaled"].counts) == 2 * MOST_PENDING + 2
    assert totals.methods()["fsr1"].failed == 1


def test_another_clock_is_no_duration() -> None:
    totals = Totals()
    skewed = [timing(5), timing(5)]
    for one, submitted_ns in zip(skewed, (10**18, 1), strict=True):
        fields = {name: getattr(one, name) for name in one.__struct_fields__}
        fields |= {"submitted_ns": submitted_ns, "received_ns": 10**12}
        totals.add("small", Timing(**fields), Outcome.UPSCALED)
    assert "sent" not in totals.methods()["small"].stages


def test_a_catalogue_of_filters_has_no_engine() -> None:
    assert describe_catalogue(Catalogue(methods=["nearest"])) == (None, [])
    engine, models = describe_catalogue(Catalogue(engine=FakeEngine()))
    assert engine is not None
    assert engine.name == "fake"
    assert "quicksrnet-small-x2" in {model.name for model in models}


def test_a_report_survives_the_wire_and_another_version_is_named() -> None:
    report = ServiceReport(
        version="1",
        pid=1,
        endpoint="ipc://x",
        uptime_s=1.5,
        engine=None,
        models=[],
        methods=["nearest"],
        clients=[],
        totals={},
    )
    assert decode_report(encode_report(report)) == report
    with pytest.raises(ServiceError, match="use the same version") as caught:
        decode_report(msgspec.json.encode({"version": "0"}))
    assert caught.value.code is ErrorCode.UNSUPPORTED_VERSION


def test_whoever_asks_without_end_takes_little_time() -> None:
    reporter = Reporter(Catalogue(methods=["nearest"]), "tcp://127.0.0.1:1")
    made = 0

    def slow_clients() -> list[ClientReport]:
        nonlocal made
        made += 1
        time.sleep(0.004)
        return []

    began = time.monotonic()
    first = reporter.encoded(slow_clients)
    second = reporter.encoded(slow_clients)
    assert decode_report(first).uptime_s < decode_report(second).uptime_s
    texts = {reporter.encoded(slow_clients) for _ in range(1000)}
    spent_s = time.monotonic() - began
    assert made == len({first, second} | texts)
    # A burst of 10 ms, then a tenth of the time.
    assert made <= 4 + 0.1 * spent_s / 0.004
    assert reporter.encoded(slow_clients, fresh=True) not in texts
