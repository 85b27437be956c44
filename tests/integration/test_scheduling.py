"""The latest frame wins, every frame comes, deadlines are kept, nobody starves another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadRequestError, ErrorCode
from protocol.messages import Outcome
from upscaler.catalogue import Catalogue
from upscaler.client import Client
from upscaler.contract import Frame
from upscaler.control import Control
from upscaler.service.server import Service
from upscaler.testing import FakeEngine

SIZE = (64, 36)
NETWORK = "quicksrnet-small"


def picture(value: int) -> Frame:
    return np.full((36, 64, 3), value, np.uint8)


class Gate:
    """Lets frames of the network through one at a time, or all of them."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self._passes = threading.Semaphore(0)
        self._open = False
        self.order: list[int] = []

    def __call__(self, src: Frame, _dst: Frame) -> None:
        self.order.append(int(src[0, 0, 0]))
        self.entered.release()
        if not self._open:
            assert self._passes.acquire(timeout=30)

    def wait_for_a_frame(self) -> None:
        assert self.entered.acquire(timeout=30)

    def open(self) -> None:
        self._open = True
        self._passes.release(100)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def endpoint(gate: Gate, tmp_path: Path) -> Iterator[str]:
    """A service whose network waits at the gate."""
    service = Service(f"ipc://{tmp_path}/upscaler", Catalogue(engine=FakeEngine(gate)))
    thread = threading.Thread(target=service.run)
    thread.start()
    yield service.endpoint
    gate.open()
    service.stop()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("transport", ["shm", "inline"])
def test_a_newer_frame_replaces_one_that_waits(endpoint: str, gate: Gate, transport: str) -> None:
    with Client(
        endpoint,
        size=SIZE,
        method=NETWORK,
        transport=transport,  # type: ignore[arg-type]
    ) as client:
        first = client.submit(picture(1))
        gate.wait_for_a_frame()
        second, third = client.submit(picture(2)), client.submit(picture(3))
        dropped = client.receive()
        assert (dropped.frame_id, dropped.outcome, dropped.dropped) == (
            second,
            Outcome.DROPPED,
            True,
        )
        with pytest.raises(BadRequestError, match=f"frame {second} was dropped and has no pixels"):
            _ = dropped.pixels
        gate.open()
        results = [client.receive(), client.receive()]
        assert [result.frame_id for result in results] == [first, third]
        assert [int(result.pixels[0, 0, 0]) for result in results] == [1, 3]
        assert gate.order == [1, 3]
        told = client.stats()
        assert (told.frames, told.dropped) == (2, 1)


def test_every_frame_comes_where_that_was_asked_for(endpoint: str, gate: Gate) -> None:
    with Client(endpoint, size=SIZE, method=NETWORK, credits=3, delivery="every") as client:
        ids = [client.submit(picture(value)) for value in (1, 2, 3)]
        gate.wait_for_a_frame()
        gate.open()
        results = [client.receive() for _ in ids]
        assert [result.frame_id for result in results] == ids
        assert [int(result.pixels[0, 0, 0]) for result in results] == [1, 2, 3]
        assert client.stats().dropped == 0


def test_a_client_that_floods_delays_another_by_one_frame(endpoint: str, gate: Gate) -> None:
    with (
        Client(endpoint, size=SIZE, method=NETWORK, credits=8, delivery="every") as flood,
        Client(endpoint, size=SIZE, method=NETWORK, name="other") as other,
        Control(endpoint) as control,
    ):
        for value in range(10, 18):
            flood.submit(picture(value))
        gate.wait_for_a_frame()
        other.submit(picture(99))
        while not any(
            client.name == "other" and client.in_flight for client in control.report().clients
        ):
            pass
        gate.open()
        other.receive()
        assert gate.order.index(99) == 1  # behind the one that was running
        for _ in range(8):
            flood.release(flood.receive())


def learn(client: Client, gate: Gate) -> None:
    """Let the service see that a frame takes longer than what it will be given."""
    client.submit(picture(1))
    gate.wait_for_a_frame()
    threading.Timer(0.2, gate.open).start()
    assert client.receive().outcome is Outcome.UPSCALED


def test_a_frame_that_would_be_late_is_made_by_the_fallback(endpoint: str, gate: Gate) -> None:
    with Client(endpoint, size=SIZE, method=NETWORK, fallback="bicubic") as client:
        learn(client, gate)
        client.submit(picture(2), deadline_ms=50)
        result = client.receive()
        assert result.outcome is Outcome.FALLBACK
        assert int(result.pixels[0, 0, 0]) == 2
        assert result.timing.deadline_ns - result.timing.submitted_ns == 50_000_000
        assert gate.order == [1]
        client.submit(picture(3))
        assert client.receive().outcome is Outcome.UPSCALED  # no deadline, no fallback
        assert client.stats().fallbacks == 1


def test_a_frame_that_would_be_late_is_dropped_where_that_was_asked_for(
    endpoint: str, gate: Gate
) -> None:
    with Client(endpoint, size=SIZE, method=NETWORK, fallback="drop") as client:
        learn(client, gate)
        client.submit(picture(2), deadline_ms=50)
        assert client.receive().dropped
        assert gate.order == [1]


def test_nothing_is_degraded_unless_asked_for(endpoint: str, gate: Gate) -> None:
    with Client(endpoint, size=SIZE, method=NETWORK) as client:
        learn(client, gate)
        client.submit(picture(2), deadline_ms=0.001)
        result = client.receive()
        assert result.outcome is Outcome.UPSCALED
        assert result.timing.missed
        assert client.stats().missed == 1


def test_a_deadline_that_has_passed_is_refused(endpoint: str) -> None:
    with Client(endpoint, size=SIZE, method="nearest") as client:
        with pytest.raises(BadRequestError, match="-3 ms from now has passed, or") as caught:
            client.submit(picture(1), deadline_ms=-3)
        assert caught.value.code is ErrorCode.STALE_DEADLINE
        for deadline_ms in (float("nan"), float("inf"), 1e14):
            with pytest.raises(BadRequestError, match="or is no deadline"):
                client.submit(picture(1), deadline_ms=deadline_ms)
        assert client.in_flight == 0
        assert client.upscale(picture(1)).max() == 1


def test_poll_never_waits(endpoint: str, gate: Gate) -> None:
    with Client(endpoint, size=SIZE, method=NETWORK) as client:
        assert client.poll() is None
        client.submit(picture(1))
        gate.wait_for_a_frame()
        assert client.poll() is None
        gate.open()
        while (result := client.poll()) is None:
            pass
        assert int(result.pixels[0, 0, 0]) == 1
