"""What the page is told, and what it may ask."""

from __future__ import annotations

import msgspec

from upscaler.live.comparer import NAME
from upscaler.live.path import PathReport
from upscaler.service.report import ClientReport, ServiceReport
from upscaler.timings import STAGES


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What a page may say; what is left out stays as it is."""

    left: str | None = None
    right: str | None = None
    paused: bool | None = None
    step: bool = False
    ack: int | None = None
    hidden: bool | None = None


class Service(msgspec.Struct, kw_only=True):
    """The service as the page shows it; `note` says why it does not answer."""

    version: str = ""
    engine: str = ""
    device: str = ""
    emulated: bool = False
    models: list[str] = []
    clients: int = 0
    note: str = ""


class PageState(msgspec.Struct, kw_only=True):
    """Everything but pictures."""

    source: str
    size: str
    upscaled: str
    methods: list[str]
    left: str
    right: str
    paused: bool
    service: Service
    path: PathReport | None
    counts: dict[str, int]
    note: str
    stages: tuple[str, ...] = STAGES


def service_of(report: ServiceReport) -> Service:
    """The service itself, out of its report."""
    engine = report.engine
    return Service(
        version=report.version,
        engine="none: filters only" if engine is None else f"{engine.name} {engine.version}",
        device="" if engine is None else engine.device,
        emulated=bool(engine and engine.emulated),
        models=[f"{model.name} ({model.weights_sha256[:12]})" for model in report.models],
        clients=len(_others(report)),
    )


def busy_share(report: ServiceReport) -> float:
    """Share of the time in which frames of others than the page are on their way, 0 to 1.

    On their way, and not only upscaled: who is limited by transport has no time left over, either.
    """
    share = 0.0
    for client in _others(report):
        stages = client.statistics.stages
        spent_ms = sum(stages[stage].mean_ms for stage in STAGES if stage in stages)
        share += client.statistics.fps * max(0.0, spent_ms) / 1000
    return min(1.0, share)


def path_of(report: ServiceReport) -> PathReport | None:
    """The busiest session that is not the page's own, as far as its service knows it."""
    watched = _others(report)
    if not watched:
        return None
    client = max(watched, key=lambda each: each.statistics.fps)
    stages = client.statistics.stages
    point = [stages[stage].p50_ms if stage in stages else 0.0 for stage in STAGES]
    return PathReport(
        method=client.method,
        engine=client.engine,
        device="" if report.engine is None else report.engine.device,
        emulated=client.emulated,
        transport=client.transport,
        size=client.size,
        upscaled=client.upscaled,
        statistics=client.statistics,
        points=[point],
        each="second, the medians",
    )


def _others(report: ServiceReport) -> list[ClientReport]:
    return [client for client in report.clients if client.name != NAME]
