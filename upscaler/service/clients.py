"""What the service keeps for each client, and the bounds on all of them together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from protocol.errors import ErrorCode, ProtocolError
from protocol.frames import upscaled_size
from protocol.geometry import max_stride
from protocol.messages import Delivery, Transport
from protocol.session import ServiceSession
from protocol.slots import result_slot_bytes, slot_bytes, slot_count
from upscaler.contract import Request
from upscaler.service.jobs import Rescue
from upscaler.service.lanes import Lane
from upscaler.service.pixels import ClientPixels, inline_limit
from upscaler.service.report import ClientReport
from upscaler.timings import Counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a service. `frame_bytes` is for all frames that may be in flight, both ways."""

    clients: int = 32
    frame_bytes: int = 4 << 30
    keepalive_s: float = 2.0
    longest_keepalive_s: float = 4.0


class Cancellable(Protocol):
    """What a session waits for before it is open."""

    def cancel(self) -> None:
        """Do not begin what has not begun."""


@dataclass(slots=True, eq=False)
class Client:
    """One peer. `requests` are what it needs: the session's, and its fallback's if any."""

    session: ServiceSession = field(default_factory=ServiceSession)
    requests: list[Request] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    pixels: ClientPixels | None = None
    rescue: Rescue | None = None
    opening: Cancellable | None = None
    frame_bytes: int = 0
    counter: Counter = field(default_factory=Counter)
    last_sent: float = 0.0
    keepalive_s: float = 0.0

    @property
    def latest(self) -> bool:
        """Whether a newer frame replaces one that waits."""
        hello = self.session.hello
        return hello is not None and hello.delivery is Delivery.LATEST

    def report(self, peer: bytes) -> ClientReport | None:
        """What is known of an open session; None before it is open."""
        hello, welcome = self.session.hello, self.session.welcome
        if hello is None or welcome is None:
            return None
        return ClientReport(
            id=peer.hex(),
            name=hello.client,
            method=welcome.method,
            fallback=hello.fallback,
            engine=welcome.engine,
            emulated=welcome.emulated,
            size=str(hello.size),
            upscaled=str(welcome.upscaled),
            pixel_format=hello.pixel_format.label,
            transport=welcome.transport.name.lower().replace("_", " "),
            delivery=hello.delivery.name.lower(),
            credits=welcome.credits,
            in_flight=len(self.session.in_flight),
            statistics=self.counter.statistics(),
        )


def frame_bytes(request: Request, transport: Transport, credit_count: int) -> int:
    """Most memory that the frames and results of a session may take, in bytes.

    Raises BadRequestError for a size or scale outside the limits.
    """
    upscaled = upscaled_size(request.size, request.scale)
    if transport is Transport.SHARED_MEMORY:
        pair = slot_bytes(request.size, request.pixel_format)
        pair += result_slot_bytes(upscaled, request.pixel_format)
        return pair * slot_count(credit_count)
    channels = request.pixel_format.channels
    source = max_stride(request.size.width * channels) * request.size.height
    return source * credit_count + upscaled.pixels * channels * inline_limit(credit_count)


def check_room(clients: Iterable[Client], *, opening: int, limits: Limits) -> None:
    """Raise ProtocolError (TOO_MANY_CLIENTS) when `clients`, the new one among them, are too many.

    `opening` is how many sessions are being compiled.
    """
    known = list(clients)
    needed = sum(client.frame_bytes for client in known)
    if opening >= limits.clients:
        msg = f"{opening} sessions are being opened, which is the limit; try later"
    elif len(known) > limits.clients:
        msg = f"{len(known) - 1} clients are connected already, which is the limit; try later"
    elif needed > limits.frame_bytes:
        msg = (
            f"all clients together would keep {needed >> 20} MiB of frames in flight, over the "
            f"limit of {limits.frame_bytes >> 20} MiB; ask for fewer credits"
        )
    else:
        return
    raise ProtocolError(msg, code=ErrorCode.TOO_MANY_CLIENTS)
