from __future__ import annotations

from fractions import Fraction

import pytest

from protocol.errors import ErrorCode, ProtocolError
from protocol.frames import PixelFormat, Size
from protocol.messages import Delivery, Hello, Transport
from upscaler.contract import Request
from upscaler.service.clients import Client, Limits, check_room, frame_bytes

REQUEST = Request(
    method="nearest", size=Size(960, 540), scale=Fraction(2), pixel_format=PixelFormat.RGBA8
)


def test_memory_is_counted_before_there_is_any() -> None:
    shared = frame_bytes(REQUEST, Transport.SHARED_MEMORY, 2)
    assert shared == 5 * (4096 * 540 + 4 * 1920 * 1080)
    inline = frame_bytes(REQUEST, Transport.INLINE, 2)
    assert inline > 2 * 4 * 960 * 540 + 5 * 4 * 1920 * 1080


@pytest.mark.parametrize(
    ("clients", "opening", "words"),
    [
        (3, 0, "2 clients are connected already"),
        (1, 2, "2 sessions are being opened"),
        (2, 0, "keep 12 MiB of frames in flight, over the limit of 10 MiB"),
    ],
)
def test_too_many_are_refused_by_what_they_are_too_many_of(
    clients: int, opening: int, words: str
) -> None:
    limits = Limits(clients=2, frame_bytes=10 << 20)
    known = [Client(frame_bytes=6 << 20) for _ in range(clients)]
    with pytest.raises(ProtocolError, match=words) as caught:
        check_room(known, opening=opening, limits=limits)
    assert caught.value.code is ErrorCode.TOO_MANY_CLIENTS
    check_room([Client(frame_bytes=6 << 20)], opening=0, limits=limits)


def test_a_client_is_the_latest_or_every() -> None:
    client = Client()
    assert not client.latest
    for delivery in Delivery:
        client.session.hello = Hello(
            size=Size(8, 4), scale=Fraction(2), pixel_format=PixelFormat.RGB8, delivery=delivery
        )
        assert client.latest is (delivery is Delivery.LATEST)


def test_nothing_is_reported_of_a_session_that_is_not_open() -> None:
    assert Client().report(b"peer") is None
