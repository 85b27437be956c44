"""From HELLO to WELCOME: what a session needs, and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import upscaled_size
from protocol.messages import Hello, Transport, Welcome
from upscaler.catalogue import Catalogue
from upscaler.contract import Request
from upscaler.filters.library import is_filter
from upscaler.service.clients import Client
from upscaler.service.jobs import Rescue
from upscaler.service.lanes import Compiled, Lanes, close_result
from upscaler.service.pixels import InlinePixels, SharedPixels, inline_limit, welcome_fields

DROP = "drop"
"""The fallback that is no method."""


class Opener:
    """Sessions whose upscalers are being compiled. Belongs to the service's state."""

    def __init__(self, lanes: Lanes, *, notify: Callable[[], None]) -> None:
        """`notify` is called, on the compiling thread, when `finish` has something to do."""
        self._lanes = lanes
        self._notify = notify
        self._opening: dict[Future[Compiled], tuple[bytes, Client]] = {}

    def __len__(self) -> int:
        return len(self._opening)

    def start(self, peer: bytes, client: Client) -> bool:
        """Compile what the client needs; False when everything is there already."""
        opening = self._lanes.compile(client.requests)
        if opening is None:
            return False
        client.opening = opening
        self._opening[opening] = (peer, client)
        opening.add_done_callback(lambda _: self._notify())
        return True

    def finish(self) -> Iterator[tuple[bytes, Client, Compiled | Exception]]:
        """Yield the sessions that are compiled, or why they cannot be."""
        for opening in [each for each in self._opening if each.done()]:
            peer, client = self._opening.pop(opening)
            if opening.cancelled():
                continue
            error = opening.exception()
            if error is None:
                yield peer, client, opening.result()
            elif isinstance(error, Exception):
                yield peer, client, error

    def cancel(self) -> None:
        """Compile nothing more."""
        for opening in self._opening:
            opening.cancel()

    def shut_down(self) -> None:
        """Close what was compiled for nobody; after `Lanes.shut_down`."""
        for opening in self._opening:
            close_result(opening)


def requests_of(hello: Hello, catalogue: Catalogue) -> list[Request]:
    """What a session needs: its method, and its fallback if that is one.

    Raises BadRequestError (UNKNOWN_METHOD) for a fallback that is no filter.
    """
    wanted = Request(
        method=hello.method,
        size=hello.size,
        scale=hello.scale,
        pixel_format=hello.pixel_format,
        # float32 on the wire: 0.2 comes as 0.20000000298.
        sharpness_stops=round(hello.sharpness_stops, 6),
    )
    fallback = hello.fallback
    if fallback in ("", DROP):
        return [catalogue.normalised(wanted)]
    if not is_filter(fallback):
        msg = f"unknown fallback {fallback!r}; choose a filter, such as fsr1, or {DROP}"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD)
    requests = [wanted, replace(wanted, method=fallback)]
    return [catalogue.normalised(request) for request in requests]


def furnish(client: Client) -> Welcome:
    """Give a client with lanes the memory for its frames and results, and say what it has.

    Raises ServiceError (UNSUPPORTED_TRANSPORT) when there is no room for shared memory.
    """
    hello = client.session.hello
    assert hello is not None
    request, upscaler = client.requests[0], client.lanes[0].upscaler
    client.pixels = (
        SharedPixels(
            request.size,
            upscaler.output_shape,
            request.pixel_format,
            credit_count=hello.credits,
        )
        if hello.transport is Transport.SHARED_MEMORY
        else InlinePixels(upscaler.output_shape, limit=inline_limit(hello.credits))
    )
    if hello.fallback:
        client.rescue = Rescue(lane=client.lanes[1] if len(client.lanes) > 1 else None)
    return Welcome(
        upscaled=upscaled_size(request.size, request.scale),
        credits=hello.credits,
        pixel_format=request.pixel_format,
        method=upscaler.name,
        engine=upscaler.engine,
        device=upscaler.device,
        emulated=upscaler.emulated,
        transport=hello.transport,
        delivery=hello.delivery,
        **welcome_fields(client.pixels),  # type: ignore[arg-type]
    )


def summary(request: Request, welcome: Welcome) -> str:
    """What a session is for and what runs it, in a line for the log."""
    emulated = ", emulated" if welcome.emulated else ""
    return (
        f"{request.size} {request.pixel_format.label} {request.scale}x by {welcome.method} on "
        f"{welcome.engine} ({welcome.device}{emulated}), {welcome.transport.name.lower()}, "
        f"{welcome.delivery.name.lower()}"
    )
