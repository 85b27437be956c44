from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import pytest
from msgspec.structs import replace

from protocol.errors import BadRequestError, ErrorCode, ServiceError
from protocol.frames import PixelFormat, Size
from protocol.messages import Hello, Transport
from upscaler.catalogue import Catalogue
from upscaler.contract import Upscaler
from upscaler.filters.library import make_filter
from upscaler.service.clients import Client
from upscaler.service.lanes import Compiled, Lane, Lanes
from upscaler.service.opening import (
    Opener,
    make_pixels,
    requests_of,
    rescue_of,
    welcome_of,
)
from upscaler.service.pixels import InlinePixels, SharedPixels
from upscaler.shared_memory import PREFIX, Segment, folder

HELLO = Hello(
    size=Size(8, 4), scale=Fraction(2), pixel_format=PixelFormat.RGB8, sharpness_stops=0.2
)


@pytest.mark.parametrize(
    ("method", "fallback", "methods"),
    [
        ("", "", ["quicksrnet-small"]),
        ("fsr1", "drop", ["fsr1"]),
        ("", "fsr1", ["quicksrnet-small", "fsr1"]),
        ("", "fsr1:stops=1", ["quicksrnet-small", "fsr1:stops=1"]),
    ],
)
def test_a_session_needs_its_method_and_its_fallback(
    method: str, fallback: str, methods: list[str]
) -> None:
    hello = replace(HELLO, method=method, fallback=fallback)
    requests = requests_of(hello, Catalogue())
    assert [request.method for request in requests] == methods
    assert {request.size for request in requests} == {HELLO.size}


@pytest.mark.parametrize("fallback", ["dlss", "quicksrnet-small", "DROP"])
def test_a_fallback_is_a_filter(fallback: str) -> None:
    with pytest.raises(BadRequestError, match=f"unknown fallback '{fallback}'") as caught:
        requests_of(replace(HELLO, fallback=fallback), Catalogue())
    assert caught.value.code is ErrorCode.UNKNOWN_METHOD


def client_of(hello: Hello) -> Client:
    client = Client()
    client.session.hello = hello
    client.requests = requests_of(replace(hello, method="nearest"), Catalogue())
    return client


@pytest.mark.parametrize("transport", Transport)
def test_a_client_is_told_what_it_has(transport: Transport) -> None:
    client = client_of(replace(HELLO, transport=transport, fallback="drop", credits=3))
    assert client.session.hello is not None
    client.pixels = make_pixels(client.requests[0], client.session.hello)
    client.lanes = [Lane(make_filter("nearest", HELLO.size, Size(16, 8), PixelFormat.RGB8))]
    welcome = welcome_of(client)
    assert (welcome.upscaled, welcome.credits, welcome.method) == (Size(16, 8), 3, "nearest")
    rescue = rescue_of(client)
    assert rescue is not None
    assert rescue.lane is None
    if transport is Transport.INLINE:
        assert isinstance(client.pixels, InlinePixels)
        assert (welcome.slot_count, welcome.segment) == (0, "")
    else:
        assert isinstance(client.pixels, SharedPixels)
        assert (welcome.slot_count, welcome.segment) == (7, client.pixels.segment)
    client.pixels.close()


class Doors:
    """An opener, its lanes, and what waits for them."""

    def __init__(self) -> None:
        self.changed = threading.Semaphore(0)
        self.retired: list[Upscaler] = []
        self.lanes = Lanes(Catalogue(methods=["nearest"]), retire=self.retired.append)
        self.opener = Opener(self.lanes, notify=self.changed.release)

    def finished(self) -> tuple[bytes, Client, Compiled | Exception | None]:
        while True:
            for finished in self.opener.finish():
                return finished
            assert self.changed.acquire(timeout=30)

    def close(self) -> None:
        self.opener.cancel()
        self.lanes.shut_down()
        self.opener.shut_down()


@pytest.fixture
def doors() -> Iterator[Doors]:
    made = Doors()
    yield made
    made.close()


def test_a_session_is_ready_with_both_its_upscaler_and_its_memory(doors: Doors) -> None:
    client = client_of(replace(HELLO, transport=Transport.SHARED_MEMORY))
    assert doors.opener.start(b"peer", client)
    assert len(doors.opener) == 1
    peer, ready, compiled = doors.finished()
    assert (peer, ready) == (b"peer", client)
    assert isinstance(compiled, Compiled)
    assert len(doors.lanes.join(client.requests, compiled)) == 1
    assert isinstance(client.pixels, SharedPixels)
    # All there: a second time there is nothing to wait for.
    assert not doors.opener.start(b"peer", client)
    name = client.pixels.segment
    assert (folder() / name).exists()
    doors.opener.free(client)
    doors.close()
    assert not (folder() / name).exists()


def test_without_room_what_was_compiled_is_closed(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> Segment:
        msg = "no room"
        raise ServiceError(msg, code=ErrorCode.UNSUPPORTED_TRANSPORT)

    monkeypatch.setattr(Segment, "make", full)
    client = client_of(replace(HELLO, transport=Transport.SHARED_MEMORY))
    assert doors.opener.start(b"peer", client)
    _, _, error = doors.finished()
    assert isinstance(error, ServiceError)
    assert client.pixels is None
    assert [upscaler.name for upscaler in doors.retired] == ["nearest"]


def test_nobody_is_told_of_a_session_that_was_cancelled(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, make = threading.Event(), Segment.make

    def slow(size: int) -> Segment:
        assert held.wait(timeout=30)
        return make(size)

    monkeypatch.setattr(Segment, "make", slow)
    stays, leaves = (client_of(replace(HELLO, transport=Transport.SHARED_MEMORY)) for _ in range(2))
    for client in (stays, leaves):
        assert doors.opener.start(b"peer", client)
    assert leaves.opening is not None
    leaves.opening.cancel()  # its memory waits behind the other's
    held.set()
    told = [doors.finished()]
    while len(doors.opener):
        assert doors.changed.acquire(timeout=30)
        told += doors.opener.finish()
    assert [client for _, client, _ in told] == [stays]
    assert leaves.pixels is None
    doors.opener.free(stays)


def test_memory_made_for_one_who_has_left_is_freed(doors: Doors) -> None:
    before = set(folder().glob(f"{PREFIX}*"))
    for _ in range(8):
        client = client_of(replace(HELLO, transport=Transport.SHARED_MEMORY))
        assert doors.opener.start(b"peer", client)
        assert client.opening is not None
        client.opening.cancel()
    doors.close()
    assert set(folder().glob(f"{PREFIX}*")) == before
