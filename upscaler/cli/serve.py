"""`upscaler serve`."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

from protocol.errors import ServiceError
from upscaler import __version__
from upscaler.catalogue import Catalogue
from upscaler.engines.npu_options import NpuSettings
from upscaler.live.viewer import Viewer
from upscaler.live.watched import WatchedCatalogue
from upscaler.live.web import ViewerServer
from upscaler.service.metrics import MetricsServer
from upscaler.service.process import READY
from upscaler.service.server import Service
from upscaler.service.token import remove_token, write_token

log = logging.getLogger(__name__)


def run(
    endpoint: str,
    *,
    engine: str,
    models: Sequence[str],
    methods: Sequence[str],
    threads: int | None,
    metrics: int | None = None,
    viewer: int | None = None,
    reuse: bool = False,
    npu: NpuSettings | None = None,
    until_stdin_closes: bool = False,
) -> None:
    """Serve on `endpoint` until SIGINT or SIGTERM; a second signal ends the process at once.

    With `until_stdin_closes` also until whoever holds the other end of stdin has gone. `metrics`
    is a port for Prometheus, `viewer` one for the page that shows what clients send.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    kind = Catalogue if viewer is None else WatchedCatalogue
    catalogue = kind(
        engine=engine, models=models, methods=methods, threads=threads, reuse=reuse, npu=npu
    )
    print(f"upscaler {__version__}")  # noqa: T201
    if catalogue.needs_engine:
        chosen = catalogue.engine
        emulated = ", EMULATED: right results, meaningless times" if chosen.emulated else ""
        print(f"engine    {chosen.name} {chosen.version} on {chosen.device}{emulated}")  # noqa: T201
        if npu is not None and npu.contexts is not None:
            print(f"contexts  {npu.contexts}")  # noqa: T201
        for model in catalogue.networks:
            card = model.card
            print(f"model     {card.name}: {float(card.ratio):g}x, {card.quantisation}")  # noqa: T201
        if reuse:
            print("reuse     networks compute what changed since the frame before")  # noqa: T201
    else:
        print("engine    none: filters only")  # noqa: T201
    print(f"methods   {', '.join(catalogue.methods)}")  # noqa: T201
    service = Service(endpoint, catalogue)
    with ExitStack() as until_the_end:
        until_the_end.callback(service.close)
        try:
            service.token = write_token(service.endpoint)
            until_the_end.callback(remove_token, service.endpoint, service.token)
        except ServiceError as error:
            log.warning("%s", error)
        if metrics is not None:
            scraped = MetricsServer(service.endpoint, metrics)
            until_the_end.callback(scraped.close)
            print(f"metrics   http://127.0.0.1:{scraped.port}/metrics")  # noqa: T201
        if viewer is not None:
            assert isinstance(catalogue, WatchedCatalogue)
            print(f"view      {_watch(service, catalogue, viewer, until_the_end)}")  # noqa: T201
        _stop_on_signals(service)
        if until_stdin_closes:
            threading.Thread(target=_stop_at_end_of_stdin, args=[service], daemon=True).start()
        print(f"{READY}{service.endpoint}", flush=True)  # noqa: T201
        # What is there now stays. Otherwise every full collection of garbage would look through
        # all of it again, for tens of milliseconds, in the middle of a frame.
        gc.collect()
        gc.freeze()
        service.run()
    print("stopped", flush=True)  # noqa: T201


def _watch(service: Service, catalogue: WatchedCatalogue, port: int, stack: ExitStack) -> str:
    """Serve the page, and return its address."""
    page = Viewer(
        service.endpoint,
        source="what clients send",
        left="bicubic" if "bicubic" in catalogue.methods else catalogue.methods[-1],
        right=catalogue.methods[0],
        watches_service=True,
    )
    catalogue.viewer = page
    stack.callback(page.close)
    server = ViewerServer(page, port)
    stack.callback(server.close)
    return server.url


def _stop_on_signals(service: Service) -> None:
    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: os._exit(1))
        service.stop()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _stop_at_end_of_stdin(service: Service) -> None:
    # Straight from the descriptor: sys.stdin's lock would still be held when the process ends.
    while os.read(0, 1024):
        pass
    service.stop()
