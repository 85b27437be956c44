"""`upscaler serve`."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType

from upscaler import __version__
from upscaler.catalogue import Catalogue
from upscaler.engines.npu_options import NpuSettings
from upscaler.service.process import READY
from upscaler.service.server import Service


def run(
    endpoint: str,
    *,
    engine: str,
    models: Sequence[str],
    methods: Sequence[str],
    threads: int | None,
    npu: NpuSettings | None = None,
    until_stdin_closes: bool = False,
) -> None:
    """Serve on `endpoint` until SIGINT or SIGTERM; a second signal ends the process at once.

    With `until_stdin_closes` also until whoever holds the other end of stdin has gone.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    catalogue = Catalogue(engine=engine, models=models, methods=methods, threads=threads, npu=npu)
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
    else:
        print("engine    none: filters only")  # noqa: T201
    print(f"methods   {', '.join(catalogue.methods)}")  # noqa: T201
    service = Service(endpoint, catalogue)

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: os._exit(1))
        service.stop()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if until_stdin_closes:
        threading.Thread(target=_stop_at_end_of_stdin, args=[service], daemon=True).start()
    print(f"{READY}{service.endpoint}", flush=True)  # noqa: T201
    service.run()
    print("stopped", flush=True)  # noqa: T201


def _stop_at_end_of_stdin(service: Service) -> None:
    # Straight from the descriptor: sys.stdin's lock would still be held when the process ends.
    while os.read(0, 1024):
        pass
    service.stop()
