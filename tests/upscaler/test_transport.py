"""Real sockets: who may connect, and when memory may be written again."""

from __future__ import annotations

import time

import numpy as np
import pytest

from protocol.errors import BadRequestError
from upscaler.transport import DealerTransport, RouterTransport, Sent, check_endpoint


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://127.0.0.1:5560", "tcp://localhost:*", "tcp://[::1]:0", "ipc:///tmp/upscaler"],
)
def test_this_machine_is_welcome(endpoint: str) -> None:
    check_endpoint(endpoint)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("tcp://0.0.0.0:5560", "loopback only"),
        ("tcp://*:5560", "loopback only"),
        ("tcp://10.1.2.3:5560", "loopback only"),
        ("tcp://127.0.0.1", "no endpoint"),
        ("tcp://127.0.0.1:http", "no endpoint"),
        ("tcp://127.0.0.1:65536", "no endpoint"),
        ("tcp://127.0.0.1:5_999", "no endpoint"),
        ("tcp://127.0.0.1:-1", "no endpoint"),
        ("ipc://", "no endpoint"),
        ("ipc://@abstract", "no endpoint"),
        ("udp://127.0.0.1:1", "no endpoint"),
        ("", "no endpoint"),
    ],
)
def test_anything_else_is_refused(endpoint: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        check_endpoint(endpoint)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0"])
def test_a_client_needs_a_port(endpoint: str) -> None:
    with pytest.raises(BadRequestError, match="no endpoint"):
        check_endpoint(endpoint, connecting=True)


def test_pixels_are_the_senders_until_delivered() -> None:
    router = RouterTransport("tcp://127.0.0.1:*", max_part_bytes=1 << 24)
    dealer = DealerTransport(router.endpoint)
    pixels = np.full(1 << 23, 7, np.uint8)
    assert dealer.send([b"hello"], timeout_s=5)
    while (received := router.receive()) is None:
        router.wait(5)
    peer, parts = received
    assert bytes(parts[0]) == b"hello"
    sent, delivery = router.send_pixels(peer, b"header", pixels)
    assert sent is Sent.QUEUED
    answer = dealer.receive(5)
    assert answer is not None
    assert bytes(answer[0]) == b"header"
    assert np.all(np.frombuffer(answer[1], np.uint8) == 7)
    deadline = time.monotonic() + 5
    while not delivery.done:
        assert time.monotonic() < deadline
        router.wait(0.01)
    dealer.close()
    router.close()


def test_a_peer_that_has_gone_is_reported() -> None:
    router = RouterTransport("tcp://127.0.0.1:*", max_part_bytes=1 << 20)
    dealer = DealerTransport(router.endpoint)
    dealer.send([b"hello"], timeout_s=5)
    while (received := router.receive()) is None:
        router.wait(5)
    dealer.close()
    deadline = time.monotonic() + 10
    while router.send(received[0], [b"anybody?"]) is not Sent.PEER_GONE:
        assert time.monotonic() < deadline
        router.wait(0.01)
    router.close()


def test_wake_ends_a_wait_and_is_harmless_after_close() -> None:
    router = RouterTransport("tcp://127.0.0.1:*", max_part_bytes=1 << 20)
    router.wake()
    router.wake()
    began = time.monotonic()
    router.wait(30)
    assert time.monotonic() - began < 20
    assert router.receive() is None
    router.close()
    router.wake()
