"""The service itself: one thread owns the socket and the sessions, one upscales, one compiles.

Nothing a client sends can stop the loop: what breaks the contract is answered with an error and
forgotten, and what an upscaler throws ends one frame. The service's own memory is bounded before it
is allocated: frames by `protocol.frames`, frames in flight by credits, results that nobody reads by
`ResultPool`, clients and compilations by `Limits`. What ZeroMQ holds of messages that have not been
looked at is bounded for each connection only: by the largest part and by its high-water mark.
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
    max_stride,
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
    longest_keepalive_s: float = 64.0


@dataclass(slots=True)
class _Client:
    """What the service keeps for one peer."""

    session: ServiceSession = field(default_factory=ServiceSession)
    request: Request | None = None
    upscaler: Upscaler | None = None
    results: ResultPool | None = None
    opening: Future[Upscaler] | None = None
    frame_bytes: int = 0
    frames: int = 0
    last_sent: float = 0.0
    keepalive_s: float = 0.0


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
                self._return_finished()
                self._receive_waiting()
                self._welcome_opened()
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
            client.keepalive_s = self._limits.keepalive_s
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
            except Exception as error:  # memory may run out, and others are waiting
                log.exception("a message of client %s failed", peer.hex())
                self._send(peer, failure_to_send(*failure_of(error)))
                self._forget(peer)

    def _open(self, peer: bytes, client: _Client, hello: Hello) -> None:
        request = self._catalogue.normalised(
            Request(
                method=hello.method,
                size=hello.size,
                scale=hello.scale,
                pixel_format=hello.pixel_format,
                # float32 on the wire: 0.2 comes as 0.20000000298.
                sharpness_stops=round(hello.sharpness_stops, 6),
            )
        )
        self._clients[peer] = client
        client.request = request
        try:
            upscaled = upscaled_size(request.size, request.scale)
            channels = request.pixel_format.channels
            source = max_stride(request.size.width * channels) * request.size.height
            result = upscaled.pixels * channels
            client.frame_bytes = source * hello.credits + result * _result_limit(hello.credits)
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
        client.opening = opening
        self._opening[opening] = (peer, client)
        opening.add_done_callback(lambda _: self._transport.wake())

    def _check_room(self) -> None:
        if len(self._opening) >= self._limits.clients:
            msg = f"{len(self._opening)} sessions are being opened, which is the limit; try later"
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_CLIENTS)
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
        result = client.results.take()
        if result is None:
            client.session.in_flight.discard(received.frame.frame_id)
            msg = "the results of earlier frames are still on their way; read them first"
            frame_id = received.frame.frame_id
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_FRAMES, frame_id=frame_id)
        self._worker.submit(
            Job(
                peer=peer,
                frame=received.frame,
                source=_view(received),
                result=result,
                results=client.results,
                upscaler=client.upscaler,
                received_ns=time.perf_counter_ns(),
            )
        )

    # Sending

    def _welcome_opened(self) -> None:
        for opening in [each for each in self._opening if each.done()]:
            peer, client = self._opening.pop(opening)
            if opening.cancelled():
                continue
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
        credit_count = client.session.hello.credits
        client.results = ResultPool(upscaler.output_shape, limit=_result_limit(credit_count))
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
            if client is None or client.results is not job.results:
                continue  # its session is over, even if the peer has opened another
            if job.error is not None:
                log.error("frame %d failed", job.frame.frame_id, exc_info=job.error)
                failure = failure_of(job.error, frame_id=job.frame.frame_id)
                self._send(job.peer, client.session.frame_failure_to_send(*failure))
                job.results.give_back(job.result, job.result.delivery)
            else:
                self._return(job, client)

    def _return(self, job: Job, client: _Client) -> None:
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
        job.results.give_back(job.result, delivery)
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
        if sent is Sent.PEER_FULL and client is not None:
            log.warning("client %s does not read its messages; its session is over", peer.hex())
        if sent is not Sent.QUEUED:
            self._forget(peer)

    def _keep_alive(self) -> None:
        """Find out who has gone without a word: sending to such a peer fails.

        Ever more rarely while a client is silent, so that what it does not read stays little.
        """
        now = time.monotonic()
        for peer, client in list(self._clients.items()):
            if client.last_sent + client.keepalive_s < now:
                client.keepalive_s = min(2 * client.keepalive_s, self._limits.longest_keepalive_s)
                self._send(peer, [encode(Keepalive())])

    # Leaving

    def _forget(self, peer: bytes) -> None:
        client = self._clients.pop(peer, None)
        if client is None:
            return
        if client.session.state is State.OPEN or client.session.state is State.CLOSED:
            log.info("client %s left after %d frames", peer.hex(), client.frames)
        if client.opening is not None:
            client.opening.cancel()
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


def _result_limit(credit_count: int) -> int:
    """Results of one client that may exist: in flight, and as many whose memory is not free yet.

    ZeroMQ lets go of a result a moment after the client, which may have it already, so a client
    that keeps to its credits never meets this limit.
    """
    return 2 * credit_count + 1


def _view(received: ReceivedFrame) -> Pixels:
    """See the received bytes as (height, width, channels), rows `stride` bytes apart."""
    frame: Frame = received.frame
    height, width, channels = frame.size.shape(frame.pixel_format)
    rows = np.frombuffer(received.pixels, np.uint8).reshape(height, frame.stride)
    view: Pixels = rows[:, : width * channels].reshape(height, width, channels)
    return view
