from __future__ import annotations

from fractions import Fraction

import pytest
from msgspec.structs import replace

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from protocol.messages import Hello, Transport
from upscaler.catalogue import Catalogue
from upscaler.filters.library import make_filter
from upscaler.service.clients import Client
from upscaler.service.lanes import Lane
from upscaler.service.opening import furnish, requests_of
from upscaler.service.pixels import InlinePixels, SharedPixels

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


@pytest.mark.parametrize("transport", Transport)
def test_furnishing_says_what_there_is(transport: Transport) -> None:
    client = Client()
    client.session.hello = hello = replace(HELLO, transport=transport, fallback="drop", credits=3)
    client.requests = requests_of(replace(hello, method="nearest"), Catalogue())
    nearest = make_filter("nearest", HELLO.size, Size(16, 8), PixelFormat.RGB8)
    client.lanes = [Lane(nearest)]
    welcome = furnish(client)
    assert (welcome.upscaled, welcome.credits, welcome.method) == (Size(16, 8), 3, "nearest")
    assert client.rescue is not None
    assert client.rescue.lane is None
    if transport is Transport.INLINE:
        assert isinstance(client.pixels, InlinePixels)
        assert (welcome.slot_count, welcome.segment) == (0, "")
    else:
        assert isinstance(client.pixels, SharedPixels)
        assert (welcome.slot_count, welcome.segment) == (7, client.pixels.segment)
        client.pixels.close()
