"""Prometheus metrics of a service, on loopback.

The server asks the service over its own socket, as `upscaler top` does, so that scraping shares no
state with the frames and costs them one small message.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from protocol.errors import ErrorCode, ServiceError, UpscalerError
from upscaler.control import Control
from upscaler.service.report import BOUNDS_MS, Histogram, ServiceReport

ADDRESS = "127.0.0.1"
OUTCOMES = ("upscaled", "fallbacks", "dropped", "failed")
OUTCOME_LABELS = {"upscaled": "upscaled", "fallbacks": "fallback", "dropped": "dropped"}


class MetricsServer:
    """Answers http://127.0.0.1:PORT/metrics for the service at `endpoint` until it is closed."""

    def __init__(self, endpoint: str, port: int) -> None:
        """Listen; port 0 takes a free one, see `port`. Raises ServiceError when it is taken."""
        from prometheus_client import CollectorRegistry, start_http_server

        self._endpoint = endpoint
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, addr=ADDRESS, registry=registry)
        except OSError as error:
            msg = f"cannot serve metrics on port {port}: {error.strerror}; choose another --metrics"
            raise ServiceError(msg, code=ErrorCode.BAD_OPTION) from error
        self.port: int = self._server.server_port

    def describe(self) -> Iterator[Any]:
        """Nothing in advance: the service does not run yet when the server starts."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of the service as it is now; `upscaler_up` alone when it is silent."""
        from prometheus_client.core import GaugeMetricFamily

        try:
            with Control(self._endpoint) as control:
                report = control.report(timeout_s=2.0)
        except UpscalerError:
            report = None
        yield GaugeMetricFamily("upscaler_up", "Whether the service answers.", value=bool(report))
        if report is not None:
            yield from metrics_of(report)

    def close(self) -> None:
        """Stop answering, and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def metrics_of(report: ServiceReport) -> Iterator[Any]:
    """Yield metric families: frames by outcome, stages as histograms, clients, engine."""
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
    )

    about = InfoMetricFamily("upscaler", "The service.", labels=())
    engine = report.engine
    about.add_metric(
        (),
        {
            "version": report.version,
            "engine": engine.name if engine else "none",
            "device": engine.device if engine else "none",
            "emulated": str(bool(engine and engine.emulated)).lower(),
        },
    )
    yield about
    yield GaugeMetricFamily("upscaler_uptime_seconds", "Since the start.", value=report.uptime_s)
    yield GaugeMetricFamily("upscaler_clients", "Open sessions.", value=len(report.clients))
    fps = GaugeMetricFamily("upscaler_client_fps", "Results a second.", labels=("client", "method"))
    flying = GaugeMetricFamily(
        "upscaler_client_in_flight", "Frames in flight.", labels=("client", "method")
    )
    for client in report.clients:
        label = f"{client.name}-{client.id}"
        fps.add_metric((label, client.method), client.statistics.fps)
        flying.add_metric((label, client.method), client.in_flight)
    yield fps
    yield flying
    frames = CounterMetricFamily(
        "upscaler_frames", "Frames answered.", labels=("method", "outcome")
    )
    missed = CounterMetricFamily(
        "upscaler_deadline_misses", "Frames finished after their deadline.", labels=("method",)
    )
    stages = HistogramMetricFamily(
        "upscaler_stage_seconds", "Time of a stage.", labels=("method", "stage")
    )
    for method, totals in report.totals.items():
        for outcome in OUTCOMES:
            name = OUTCOME_LABELS.get(outcome, outcome)
            frames.add_metric((method, name), getattr(totals, outcome))
        missed.add_metric((method,), totals.missed)
        for stage, histogram in totals.stages.items():
            stages.add_metric((method, stage), _buckets(histogram), histogram.sum_ms / 1000)
    yield frames
    yield missed
    yield stages


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Prometheus counts upwards: each bucket holds those before it; bounds in seconds."""
    bounds = [*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf"]
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
