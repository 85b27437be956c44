"""A service that goes away: noticed at once, said with the frames that are lost, found again."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import ErrorCode, ServiceLostError, ServiceTimeoutError
from upscaler.client import Client
from upscaler.service.process import ServiceProcess

FRAME = np.full((360, 640, 3), 7, np.uint8)


@pytest.mark.parametrize("transport", ["shm", "inline"])
def test_a_killed_service_is_noticed_and_found_again(tmp_path: Path, transport: str) -> None:
    bind = f"ipc://{tmp_path}/upscaler"
    with ServiceProcess(["--method", "fsr1"], bind=bind) as service:
        client = Client(
            bind,
            size=(640, 360),
            credits=4,
            delivery="every",
            transport=transport,  # type: ignore[arg-type]
        )
        assert client.upscale(FRAME).max() == 7
        service.pause()  # so that no frame comes back
        lost = [client.submit(FRAME) for _ in range(3)]
        service.send_signal(signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(ServiceLostError, match=r"has gone; frames 2, 3, 4 of") as caught:
            client.receive()
        assert time.monotonic() - began < 1
        assert list(caught.value.frame_ids) == lost
        assert caught.value.code is ErrorCode.SERVICE_LOST
        with pytest.raises(ServiceTimeoutError, match=r"did not answer within 0\.2 s"):
            client.reconnect(0.2)
        service.close()
    with ServiceProcess(["--method", "fsr1"], bind=bind):
        assert client.reconnect().method == "fsr1"
        assert client.submit(FRAME) == 5  # ids go on
        assert client.receive().pixels.max() == 7
        told = client.stats()
        assert (told.frames, told.lost) == (2, 3)
        client.close()


def test_submit_opens_the_session_anew_by_itself(tmp_path: Path) -> None:
    bind = f"ipc://{tmp_path}/upscaler"
    with ServiceProcess(["--method", "nearest"], bind=bind) as service:
        client = Client(bind, size=(640, 360))
        frame = client.acquire()
        service.send_signal(signal.SIGKILL)
        service.close()
    with ServiceProcess(["--method", "nearest"], bind=bind):
        with pytest.raises(ServiceLostError, match=r"has gone$") as caught:
            client.upscale(FRAME)
        assert caught.value.frame_ids == ()
        assert client.upscale(FRAME).max() == 7
        frame[:] = 3  # of a segment that has gone: harmless
        assert client.upscale(frame).max() == 3
        client.close()


def upscale_until_it_fails(client: Client) -> None:
    while True:
        client.submit(FRAME)
        client.receive()


def test_a_service_that_stops_in_order_says_so(tmp_path: Path) -> None:
    bind = f"ipc://{tmp_path}/upscaler"
    with ServiceProcess(["--method", "nearest"], bind=bind) as service:
        client = Client(bind, size=(640, 360))
        service.send_signal(signal.SIGTERM)
        with pytest.raises(ServiceLostError, match="the service has shut down") as caught:
            upscale_until_it_fails(client)
        assert caught.value.code is ErrorCode.SHUTTING_DOWN
        assert len(caught.value.frame_ids) <= 1
        assert client.stats().lost == len(caught.value.frame_ids)
        client.close()
