"""What a service says of itself: to `upscaler top`, to Prometheus, and to whoever sends QUERY."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import pairwise

import msgspec

from protocol.errors import ErrorCode, ServiceError
from protocol.messages import Outcome
from upscaler import __version__
from upscaler.catalogue import Catalogue
from upscaler.timings import STAGES, Statistics, Timing

BOUNDS_MS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.33, 16.67, 33.33, 50.0, 100.0, 250.0, 1000.0)
"""Upper bounds of the histograms' buckets: frames at 120, 60 and 30 fps among them."""

LONGEST_NS = 60 * 10**9
"""Longer stages are no durations but differences of clocks."""
REPORTING_SHARE = 0.1
"""How much of the time reports may take."""
REPORTING_BURST_S = 0.01
"""And how much at once, after a while without any."""
MOST_PENDING = 256
"""Frames that are counted at once, in two milliseconds."""


class EngineReport(msgspec.Struct, frozen=True, kw_only=True):
    """What runs the networks."""

    name: str
    version: str
    device: str
    emulated: bool


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """A network on offer; `weights_sha256` tells one training from another."""

    name: str
    method: str
    scale: str
    weights_sha256: str


class ClientReport(msgspec.Struct, frozen=True, kw_only=True):
    """One session. `statistics` are the service's own: it does not know when results arrive."""

    id: str
    name: str
    method: str
    fallback: str
    engine: str
    emulated: bool
    size: str
    upscaled: str
    pixel_format: str
    transport: str
    delivery: str
    credits: int
    in_flight: int
    statistics: Statistics


class Histogram(msgspec.Struct, kw_only=True):
    """Durations of one stage: counts by bucket of BOUNDS_MS and beyond, and their sum."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    sum_ms: float = 0.0

    def add(self, spent_ms: float) -> None:
        """Count one frame."""
        self.counts[bisect_left(BOUNDS_MS, spent_ms)] += 1
        self.sum_ms += spent_ms


class MethodTotals(msgspec.Struct, kw_only=True):
    """All frames of one method since the service started: counters never go back."""

    upscaled: int = 0
    fallbacks: int = 0
    dropped: int = 0
    missed: int = 0
    failed: int = 0
    stages: dict[str, Histogram] = msgspec.field(default_factory=dict)

    def add(self, timing: Timing) -> None:
        """Count the stages of a frame as far as the service sees them."""
        for stage, (began_ns, ended_ns) in zip(STAGES, pairwise(timing.times_ns), strict=True):
            # `submitted` is the client's word, and its clock may be another.
            if began_ns and 0 <= ended_ns - began_ns < LONGEST_NS:
                self.stages.setdefault(stage, Histogram()).add((ended_ns - began_ns) / 1e6)


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it is now."""

    version: str
    pid: int
    endpoint: str
    uptime_s: float
    engine: EngineReport | None
    models: list[ModelReport]
    methods: list[str]
    clients: list[ClientReport]
    totals: dict[str, MethodTotals]


class Totals:
    """What became of all frames since the service started, by method."""

    def __init__(self) -> None:
        self._methods: dict[str, MethodTotals] = {}
        self._pending: list[tuple[str, Timing, Outcome]] = []

    def add(self, method: str, timing: Timing, outcome: Outcome) -> None:
        """Count a frame that was answered."""
        # Sorted into buckets later: this stands between a result and the next frame.
        self._pending.append((method, timing, outcome))
        if len(self._pending) >= MOST_PENDING:
            self._sort()

    def add_failure(self, method: str) -> None:
        """Count a frame that an upscaler failed on."""
        self._methods.setdefault(method, MethodTotals()).failed += 1

    def methods(self) -> dict[str, MethodTotals]:
        """The totals of each method that has had a frame."""
        self._sort()
        return self._methods

    def _sort(self) -> None:
        for method, timing, outcome in self._pending:
            totals = self._methods.setdefault(method, MethodTotals())
            totals.upscaled += outcome is Outcome.UPSCALED
            totals.fallbacks += outcome is Outcome.FALLBACK
            totals.dropped += outcome is Outcome.DROPPED
            totals.missed += timing.missed
            if outcome is not Outcome.DROPPED:
                totals.add(timing)
        self._pending.clear()


def describe_catalogue(catalogue: Catalogue) -> tuple[EngineReport | None, list[ModelReport]]:
    """The engine, if any method on offer needs one, and the networks."""
    networks = catalogue.networks
    if not networks:
        return None, []
    engine = catalogue.engine
    reported = EngineReport(
        name=engine.name, version=engine.version, device=engine.device, emulated=engine.emulated
    )
    models = [
        ModelReport(
            name=model.card.name,
            method=model.card.method,
            scale=model.card.scale,
            weights_sha256=model.card.weights_sha256,
        )
        for model in networks
    ]
    return reported, models


class Reporter:
    """What a service says of itself, put together when it is asked for."""

    def __init__(self, catalogue: Catalogue, endpoint: str) -> None:
        self.totals = Totals()
        self._catalogue = catalogue
        self._endpoint = endpoint
        self._began = time.monotonic()
        self._last = b""
        self._allowance_s, self._looked = REPORTING_BURST_S, self._began

    def report(self, clients: Iterable[ClientReport | None]) -> ServiceReport:
        """Report of now; sessions that are not open, None, are left out."""
        engine, models = describe_catalogue(self._catalogue)
        return ServiceReport(
            version=__version__,
            pid=os.getpid(),
            endpoint=self._endpoint,
            uptime_s=round(time.monotonic() - self._began, 3),
            engine=engine,
            models=models,
            methods=self._catalogue.methods,
            clients=[client for client in clients if client is not None],
            totals=self.totals.methods(),
        )

    def encoded(
        self, clients: Callable[[], Iterable[ClientReport | None]], *, fresh: bool = False
    ) -> bytes:
        """Second part of REPORT: of now, unless reports take too much time; then the last one.

        So whoever asks without end costs nobody a frame. A `fresh` one is always of now.
        """
        now = time.monotonic()
        earned_s = REPORTING_SHARE * (now - self._looked)
        self._allowance_s = min(self._allowance_s + earned_s, REPORTING_BURST_S)
        self._looked = now
        if fresh or not self._last or self._allowance_s > 0:
            self._last = encode_report(self.report(clients()))
            self._allowance_s -= time.monotonic() - now
        return self._last


def encode_report(report: ServiceReport) -> bytes:
    """Return the second part of REPORT."""
    return msgspec.json.encode(report)


def decode_report(text: bytes | memoryview) -> ServiceReport:
    """Read the second part of REPORT; raises ServiceError for what is none of this version."""
    try:
        return msgspec.json.decode(text, type=ServiceReport)
    except msgspec.MsgspecError as error:
        msg = f"the service's report cannot be read ({error}); use the same version on both sides"
        raise ServiceError(msg, code=ErrorCode.UNSUPPORTED_VERSION) from error
