"""The service itself: one thread owns the socket and the sessions, one upscales, one compiles.

Nothing a client sends can stop the loop: what breaks the contract is answered with an error and
forgotten, what is too large is refused by the transport, and what an upscaler throws ends one
frame. Memory is bounded before it is allocated: frames by `protocol.frames`, frames in flight by
credits, clients by `Limits`.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from protocol.errors import ErrorCode, ProtocolError, UpscalerError
from protocol.frames import MAX_PIXELS, upscaled_size
from protocol.messages import Bye, Frame, Hello, Keepalive, Result, Welcome, encode
from protocol.session import (
    ReceivedFrame,
    ServiceSession,
    State,
    failure_of,
    failure_to_send,
)
from upscaler.catalogue import Catalogue
from upscaler.contract import Frame as Pixels
from upscaler.contract import Request, Upscaler
from upscaler.service.worker import Job, ResultPool, Worker
from upscaler.transport import RouterTransport, Sent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a service. `frame_bytes` is for all frames that may be in flight, both ways."""

    clients: int = 32
    frame_bytes: int = 4 << 30
    keepalive_s: float = 2.0


@dataclass(slots=True)
class _Client:
    """What the service keeps for one peer."""

    session: ServiceSession = field(default_factory=ServiceSession)
    request: Request | None = None
    upscaler: Upscaler | None = None
    results: ResultPool | None = None
    frame_bytes: int = 0
    frames: int = 0
    last_sent: float = 0.0


@dataclass(slots=True)
class _Shared:
    """An upscaler and how many clients use it; they take turns on the one inference thread."""

    upscaler: Upscaler
    users: int = 0


class Service:
    """Upscales frames for clients until `stop` is called.

    `run` belongs to one thread; `stop` may be called from any, or from a signal handler.
    """

    def __init__(
        self, endpoint: str, catalogue: Catalogue, *, limits: Limits | None = None
    ) -> None:
        """Listen on `endpoint`; raises ServiceError when it cannot be bound."""
        self._catalogue = catalogue
        self._limits = limits or Limits()
        self._transport = RouterTransport(endpoint, max_part_bytes=MAX_PIXELS * 4)
        self._worker = Worker(self._transport.wake)
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._opening: dict[Future[Upscaler], tuple[bytes, _Client]] = {}
        self._clients: dict[bytes, _Client] = {}
        self._shared: dict[Request, _Shared] = {}
        self._stopping = False

    @property
    def endpoint(self) -> str:
        """Where the service listens, with the port that was really taken."""
        return self._transport.endpoint

    @property
    def client_count(self) -> int:
        """Peers that have a session."""
        return len(self._clients)

    def stop(self) -> None:
        """Make `run` return after the frame that is being upscaled."""
        self._stopping = True
        self._transport.wake()

    def run(self) -> None:
        """Serve until `stop`; then say goodbye to every client and free everything."""
        self._worker.start()
        try:
            while not self._stopping:
                self._transport.wait(self._limits.keepalive_s / 2)
                self._receive_waiting()
                self._welcome_opened()
                self._return_finished()
                self._keep_alive()
        finally:
            self._shut_down()

    # Receiving

    def _receive_waiting(self) -> None:
        # Bounded, so that a flood of messages cannot keep results from going out.
        for _ in range(64):
            received = self._transport.receive()
            if received is None:
                return
            peer, parts = received
            client = self._clients.get(peer) or _Client()
            try:
                event = client.session.receive_message(parts)
                if isinstance(event, ReceivedFrame):
                    self._submit(peer, client, event)
                elif isinstance(event, Hello):
                    self._open(peer, client, event)
                elif isinstance(event, Bye):
                    self._forget(peer)
            except ProtocolError as error:
                self._send(peer, failure_to_send(*failure_of(error)))

    def _open(self, peer: bytes, client: _Client, hello: Hello) -> None:
        request = Request(
            method=hello.method or self._catalogue.methods[0],
            size=hello.size,
            scale=hello.scale,
            pixel_format=hello.pixel_format,
            # float32 on the wire: 0.2 comes as 0.20000000298.
            sharpness_stops=round(hello.sharpness_stops, 6),
        )
        self._clients[peer] = client
        client.request = request
        try:
            upscaled = upscaled_size(request.size, request.scale)
            pixels = request.size.pixels + upscaled.pixels
            client.frame_bytes = pixels * request.pixel_format.channels * hello.credits
            self._check_room()
        except UpscalerError as error:
            self._refuse(peer, client, error)
            return
        shared = self._shared.get(request)
        if shared is not None:
            self._welcome(peer, client, shared.upscaler)
            return
        # Compiling takes seconds for a network: clients that are being served do not wait.
        opening = self._compiler.submit(self._catalogue.open, request)
        self._opening[opening] = (peer, client)
        opening.add_done_callback(lambda _: self._transport.wake())

    def _check_room(self) -> None:
        clients = len(self._clients)
        if clients > self._limits.clients:
            msg = f"{clients - 1} clients are connected already, which is the limit; try later"
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_CLIENTS)
        needed = sum(client.frame_bytes for client in self._clients.values())
        if needed > self._limits.frame_bytes:
            msg = (
                f"all clients together would keep {needed >> 20} MiB of frames in flight, over the "
                f"limit of {self._limits.frame_bytes >> 20} MiB; ask for fewer credits"
            )
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_CLIENTS)

    def _submit(self, peer: bytes, client: _Client, received: ReceivedFrame) -> None:
        assert client.upscaler is not None
        assert client.results is not None
        self._worker.submit(
            Job(
                peer=peer,
                frame=received.frame,
                source=_view(received),
                result=client.results.take(),
                upscaler=client.upscaler,
                received_ns=time.perf_counter_ns(),
            )
        )

    # Sending

    def _welcome_opened(self) -> None:
        for opening in [each for each in self._opening if each.done()]:
            peer, client = self._opening.pop(opening)
            try:
                upscaler = opening.result()
            except Exception as error:  # whatever a runtime throws refuses one client only
                if not isinstance(error, UpscalerError):
                    log.exception("opening %s failed", client.request)
                if self._clients.get(peer) is client:
                    self._refuse(peer, client, error)
            else:
                self._welcome(peer, client, upscaler)

    def _welcome(self, peer: bytes, client: _Client, upscaler: Upscaler) -> None:
        assert client.request is not None
        assert client.session.hello is not None
        shared = self._shared.setdefault(client.request, _Shared(upscaler))
        if shared.upscaler is not upscaler:  # two clients asked for the same at once
            self._worker.close_later(upscaler)
        shared.users += 1
        client.upscaler = upscaler = shared.upscaler
        if self._clients.get(peer) is not client:
            self._release(client)
            return
        client.results = ResultPool(upscaler.output_shape)
        welcome = Welcome(
            upscaled=upscaled_size(client.request.size, client.request.scale),
            credits=client.session.hello.credits,
            pixel_format=client.request.pixel_format,
            method=upscaler.name,
            engine=upscaler.engine,
            device=upscaler.device,
            emulated=upscaler.emulated,
        )
        log.info(
            "client %s: %s %s %sx by %s on %s (%s)%s",
            peer.hex(),
            client.request.size,
            client.request.pixel_format.label,
            client.request.scale,
            upscaler.name,
            upscaler.engine,
            upscaler.device,
            ", emulated" if upscaler.emulated else "",
        )
        self._send(peer, client.session.welcome_to_send(welcome))

    def _return_finished(self) -> None:
        while self._worker.finished:
            job = self._worker.finished.popleft()
            client = self._clients.get(job.peer)
            if client is None or client.results is None or client.upscaler is not job.upscaler:
                continue
            if job.error is not None:
                log.error("frame %d failed", job.frame.frame_id, exc_info=job.error)
                failure = failure_of(job.error, frame_id=job.frame.frame_id)
                self._send(job.peer, client.session.frame_failure_to_send(*failure))
                client.results.give_back(job.result, job.result.delivery)
            else:
                self._return(job, client, client.results)

    def _return(self, job: Job, client: _Client, results: ResultPool) -> None:
        welcome = client.session.welcome
        assert welcome is not None
        result = Result(
            frame_id=job.frame.frame_id,
            size=welcome.upscaled,
            stride=job.result.pixels.strides[0],
            pixel_format=job.frame.pixel_format,
            submitted_ns=job.frame.submitted_ns,
            received_ns=job.received_ns,
            started_ns=job.started_ns,
            finished_ns=job.finished_ns,
            returned_ns=time.perf_counter_ns(),
        )
        header = client.session.result_to_send(result)
        sent, delivery = self._transport.send_pixels(job.peer, header, job.result.pixels)
        results.give_back(job.result, delivery)
        client.frames += 1
        self._after_sending(job.peer, sent)

    def _refuse(self, peer: bytes, client: _Client, error: Exception) -> None:
        failure = failure_of(error)
        log.info("client %s refused: %s", peer.hex(), failure[1])
        refusal = client.session.refusal_to_send(*failure)
        self._forget(peer)
        self._send(peer, refusal)

    def _send(self, peer: bytes, parts: list[bytes]) -> None:
        self._after_sending(peer, self._transport.send(peer, parts))

    def _after_sending(self, peer: bytes, sent: Sent) -> None:
        client = self._clients.get(peer)
        if client is not None:
            client.last_sent = time.monotonic()
        if sent is Sent.PEER_GONE:
            self._forget(peer)
        elif sent is Sent.PEER_FULL:
            log.warning("client %s does not read its results; one was dropped", peer.hex())

    def _keep_alive(self) -> None:
        """Find out who has gone without a word: sending to such a peer fails."""
        due = time.monotonic() - self._limits.keepalive_s
        for peer, client in list(self._clients.items()):
            if client.last_sent < due:
                client.last_sent = time.monotonic()
                if self._transport.send(peer, [encode(Keepalive())]) is Sent.PEER_GONE:
                    self._forget(peer)

    # Leaving

    def _forget(self, peer: bytes) -> None:
        client = self._clients.pop(peer, None)
        if client is None:
            return
        if client.session.state is State.OPEN or client.session.state is State.CLOSED:
            log.info("client %s left after %d frames", peer.hex(), client.frames)
        self._worker.forget(peer)
        self._release(client)

    def _release(self, client: _Client) -> None:
        if client.upscaler is None or client.request is None:
            return
        client.upscaler = None
        shared = self._shared[client.request]
        shared.users -= 1
        if shared.users == 0:
            del self._shared[client.request]
            self._worker.close_later(shared.upscaler)

    def _shut_down(self) -> None:
        self._worker.stop()
        self._return_finished()
        for peer in self._clients:
            self._transport.send(peer, [encode(Bye())])
        self._compiler.shutdown(wait=True, cancel_futures=True)
        for opening in self._opening:
            if not opening.cancelled() and opening.exception() is None:
                opening.result().close()
        for shared in self._shared.values():
            shared.upscaler.close()
        self._transport.close()


def _view(received: ReceivedFrame) -> Pixels:
    """See the received bytes as (height, width, channels), rows `stride` bytes apart."""
    frame: Frame = received.frame
    height, width, channels = frame.size.shape(frame.pixel_format)
    rows = np.frombuffer(received.pixels, np.uint8).reshape(height, frame.stride)
    view: Pixels = rows[:, : width * channels].reshape(height, width, channels)
    return view
