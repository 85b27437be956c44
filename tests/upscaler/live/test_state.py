from __future__ import annotations

import msgspec
import pytest

from protocol.frames import Size
from upscaler.client import Client
from upscaler.control import Control
from upscaler.latency import Percentiles, percentiles
from upscaler.live.comparer import NAME
from upscaler.live.state import Asked, busy_share, path_of, service_of
from upscaler.service.process import ServiceProcess
from upscaler.timings import STAGES


def milliseconds(spent_ms: float) -> Percentiles:
    return percentiles([spent_ms])


def test_what_a_page_may_ask() -> None:
    asked = msgspec.json.decode(b'{"left":"fsr1","paused":true}', type=Asked)
    assert (asked.left, asked.right, asked.paused, asked.step) == ("fsr1", None, True, False)
    for wrong in (b'{"left":1}', b'{"exec":"x"}', b"[]", b"{", b""):
        with pytest.raises(msgspec.MsgspecError):
            msgspec.json.decode(wrong, type=Asked)


def test_a_report_without_the_pages_own_sessions(service: ServiceProcess) -> None:
    import numpy as np

    size = Size(64, 36)
    frame = np.zeros((36, 64, 3), np.uint8)
    sides = (size.width, size.height)
    with (
        Client(service.endpoint, size=sides, method="bicubic", name="game") as game,
        Client(service.endpoint, size=sides, method="nearest", name=NAME) as own,
        Control(service.endpoint) as control,
    ):
        alone = control.report()
        for _ in range(3):
            game.upscale(frame)
            own.upscale(frame)
        report = control.report()
    told = service_of(report)
    assert told.clients == sum(client.name != NAME for client in report.clients)
    assert told.engine.startswith(report.engine.name if report.engine else "?")
    assert any(model.startswith("quicksrnet-small-x2 (") for model in told.models)
    path = path_of(report)
    assert path is not None
    assert (path.method, path.size, path.upscaled) == ("bicubic", "64x36", "128x72")
    assert len(path.points[0]) == len(STAGES)
    assert path.points[0][STAGES.index("upscaled")] > 0
    assert 0 <= busy_share(alone) <= busy_share(report) <= 1
    # Its transport keeps a client as busy as its upscaler does.
    (client,) = [client for client in report.clients if client.name == "game"]
    stages = {
        "sent": milliseconds(1.5),
        "waited": milliseconds(0.25),
        "upscaled": milliseconds(0.25),
    }
    loaded = msgspec.structs.replace(client.statistics, fps=300.0, stages=stages)
    game_alone = [msgspec.structs.replace(client, statistics=loaded)]
    assert busy_share(msgspec.structs.replace(report, clients=game_alone)) == pytest.approx(0.6)
    none = msgspec.structs.replace(report, clients=[])
    assert path_of(none) is None
    assert busy_share(none) == 0
