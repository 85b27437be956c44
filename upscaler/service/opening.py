"""From HELLO to WELCOME: what a session needs, and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import upscaled_size
from protocol.messages import Hello, Transport, Welcome
from upscaler.catalogue import Catalogue
from upscaler.contract import Request
from upscaler.filters.library import is_filter
from upscaler.service.clients import Client
from upscaler.service.jobs import Rescue
from upscaler.service.lanes import Compiled, Lanes, close_result
from upscaler.service.pixels import (
    ClientPixels,
    InlinePixels,
    SharedPixels,
    inline_limit,
    welcome_fields,
)

DROP = "drop"
"""The fallback that is no method."""


@dataclass(slots=True, eq=False)
class Opening:
    """What one session waits for; None is what is there already."""

    peer: bytes
    client: Client
    compiling: Future[Compiled] | None
    making: Future[ClientPixels] | None

    def futures(self) -> Iterator[Future[Compiled] | Future[ClientPixels]]:
        """Both of those that there are."""
        if self.compiling is not None:
            yield self.compiling
        if self.making is not None:
            yield self.making

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return all(future.done() for future in self.futures())

    def cancel(self) -> None:
        """Do not begin what has not begun."""
        for future in self.futures():
            future.cancel()


class Opener:
    """Sessions that wait for their upscalers and their memory. Belongs to the service's state.

    Upscalers are compiled, and shared memory is made and freed, on threads of their own: the system
    clears 0.2 GB and more for a session, which takes longer than many a frame.
    """

    def __init__(self, lanes: Lanes, *, notify: Callable[[], None]) -> None:
        """`notify` is called, on another thread, when `finish` may have something to do."""
        self._lanes = lanes
        self._notify = notify
        self._memory = ThreadPoolExecutor(1, thread_name_prefix="memory")
        self._opening: list[Opening] = []

    def __len__(self) -> int:
        return len(self._opening)

    def start(self, peer: bytes, client: Client) -> bool:
        """Prepare what the client needs; False when everything is there already."""
        hello = client.session.hello
        assert hello is not None
        opening = Opening(
            peer,
            client,
            compiling=self._lanes.compile(client.requests),
            making=(
                None
                if client.pixels is not None
                else self._memory.submit(make_pixels, client.requests[0], hello)
            ),
        )
        if not any(opening.futures()):
            return False
        client.opening = opening
        self._opening.append(opening)
        for future in opening.futures():
            future.add_done_callback(lambda _: self._notify())
        return True

    def finish(self) -> Iterator[tuple[bytes, Client, Compiled | Exception | None]]:
        """Yield the sessions that have what they need, or why they cannot."""
        for opening in [each for each in self._opening if each.done]:
            self._opening.remove(opening)
            client = opening.client
            client.opening = None  # no cycle, which would keep the client's memory mapped
            if opening.making is not None and _succeeded(opening.making):
                client.pixels = opening.making.result()
            compiled = None
            if opening.compiling is not None and _succeeded(opening.compiling):
                compiled = opening.compiling.result()
            if all(_succeeded(future) for future in opening.futures()):
                yield opening.peer, client, compiled
                continue
            self.free(client)
            if compiled is not None:
                self._lanes.discard(compiled)
            error = _error_of(opening)
            if isinstance(error, Exception):
                yield opening.peer, client, error

    def free(self, client: Client) -> None:
        """Free a client's memory, where it delays nobody."""
        pixels, client.pixels = client.pixels, None
        if pixels is not None:
            self._memory.submit(pixels.close)

    def cancel(self) -> None:
        """Prepare nothing more."""
        for opening in self._opening:
            opening.cancel()

    def shut_down(self) -> None:
        """Close what was prepared for nobody; after `Lanes.shut_down`."""
        self._memory.shutdown(wait=True)
        for opening in self._opening:
            if opening.compiling is not None:
                close_result(opening.compiling)
            if opening.making is not None and _succeeded(opening.making):
                opening.making.result().close()
        self._opening.clear()


def _succeeded(future: Future[Compiled] | Future[ClientPixels]) -> bool:
    return not future.cancelled() and future.exception() is None


def _error_of(opening: Opening) -> BaseException | None:
    """Why a session cannot be opened; None for one that was cancelled: nobody waits for it."""
    if any(future.cancelled() for future in opening.futures()):
        return None
    return next(filter(None, (future.exception() for future in opening.futures())))


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


def make_pixels(request: Request, hello: Hello) -> ClientPixels:
    """Make the memory for a session's frames and results.

    Raises ServiceError (UNSUPPORTED_TRANSPORT) when there is no room for shared memory.
    """
    upscaled = upscaled_size(request.size, request.scale)
    if hello.transport is Transport.SHARED_MEMORY:
        return SharedPixels(
            request.size, upscaled, request.pixel_format, credit_count=hello.credits
        )
    return InlinePixels(upscaled.shape(request.pixel_format), limit=inline_limit(hello.credits))


def welcome_of(client: Client) -> Welcome:
    """What a client that has its lanes and its memory is told of them."""
    hello, request, upscaler = client.session.hello, client.requests[0], client.lanes[0].upscaler
    assert hello is not None
    assert client.pixels is not None
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


def rescue_of(client: Client) -> Rescue | None:
    """What happens to a client's frames that would be late; None for one that did not ask."""
    hello = client.session.hello
    if hello is None or not hello.fallback:
        return None
    return Rescue(lane=client.lanes[1] if len(client.lanes) > 1 else None)


def summary(request: Request, welcome: Welcome) -> str:
    """What a session is for and what runs it, in a line for the log."""
    emulated = ", emulated" if welcome.emulated else ""
    return (
        f"{request.size} {request.pixel_format.label} {request.scale}x by {welcome.method} on "
        f"{welcome.engine} ({welcome.device}{emulated}), {welcome.transport.name.lower()}, "
        f"{welcome.delivery.name.lower()}"
    )
