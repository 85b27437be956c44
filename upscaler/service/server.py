"""The service itself: one thread owns the socket and the sessions, one upscales, one compiles.

Nothing a client sends can stop the loop: what breaks the contract is answered with an error and
forgotten, and what an upscaler throws ends one frame. The service's own memory is bounded before it
is allocated: frames by `protocol.frames`, frames in flight by credits, results that nobody reads by
`InlinePixels`, clients and compilations by `Limits`. What ZeroMQ holds of messages that have not
been looked at is bounded for each connection only: by the largest part and by its high-water mark.
"""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import Future
from dataclasses import replace

from protocol.errors import BadRequestError, ErrorCode, ProtocolError, UpscalerError
from protocol.frames import MAX_PIXELS, upscaled_size
from protocol.messages import (
    Bye,
    Hello,
    Keepalive,
    Outcome,
    Query,
    Report,
    Result,
    Transport,
    Welcome,
    encode,
)
from protocol.session import (
    ReceivedFrame,
    ReceivedLoad,
    failure_of,
    failure_to_send,
)
from protocol.states import State
from upscaler import __version__
from upscaler.catalogue import Catalogue
from upscaler.contract import Request
from upscaler.filters.library import is_filter
from upscaler.service.clients import Client, Limits, check_room, frame_bytes
from upscaler.service.lanes import Compiled, Lanes, close_result
from upscaler.service.loader import Loader
from upscaler.service.pixels import InlinePixels, SharedPixels, inline_limit, welcome_fields
from upscaler.service.report import ServiceReport, Totals, describe_catalogue, encode_report
from upscaler.service.worker import Job, Rescue, Worker
from upscaler.shared_memory import remove_abandoned
from upscaler.timings import Timing
from upscaler.transport import DELIVERED, RouterTransport, Sent

log = logging.getLogger(__name__)

DROP = "drop"
"""The fallback that is no method."""


class Service:
    """Upscales frames for clients until `stop` is called.

    `run` belongs to one thread; `stop` may be called from any, or from a signal handler.
    """

    def __init__(
        self,
        endpoint: str,
        catalogue: Catalogue,
        *,
        limits: Limits | None = None,
    ) -> None:
        """Listen on `endpoint`; raises ServiceError when it cannot be bound."""
        self._catalogue = catalogue
        self._limits = limits or Limits()
        self._transport = RouterTransport(endpoint, max_part_bytes=MAX_PIXELS * 4)
        self._worker = Worker(self._transport.wake)
        self._lanes = Lanes(catalogue, close=self._worker.close_later)
        self._opening: dict[Future[Compiled], tuple[bytes, Client]] = {}
        self._loader = Loader(self._lanes, notify=self._transport.wake)
        self._clients: dict[bytes, Client] = {}
        self._totals = Totals()
        self._began = time.monotonic()
        self._stopping = False
        for name in remove_abandoned():
            log.info("removed shared memory %s of a service that was killed", name)

    @property
    def endpoint(self) -> str:
        """Where the service listens, with the port that was really taken."""
        return self._transport.endpoint

    @property
    def token(self) -> str:
        """Who knows it may load models; nobody while it is empty."""
        return self._loader.token

    @token.setter
    def token(self, token: str) -> None:
        self._loader.token = token

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
                self._answer_loaders()
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
            client = self._clients.get(peer) or Client()
            client.keepalive_s = self._limits.keepalive_s
            try:
                event = client.session.receive_message(parts)
                if isinstance(event, ReceivedFrame):
                    self._submit(peer, client, event)
                elif isinstance(event, Hello):
                    self._open(peer, client, event)
                elif isinstance(event, Bye):
                    self._forget(peer)
                elif isinstance(event, Query):
                    self._send_report(peer)
                elif isinstance(event, ReceivedLoad):
                    self._loader.start(peer, event)
            except UpscalerError as error:
                self._send(peer, failure_to_send(*failure_of(error)))
            except Exception as error:  # memory may run out, and others are waiting
                log.exception("a message of client %s failed", peer.hex())
                self._send(peer, failure_to_send(*failure_of(error)))
                self._forget(peer)

    def _submit(self, peer: bytes, client: Client, received: ReceivedFrame) -> None:
        received_ns = time.perf_counter_ns()
        assert client.pixels is not None
        frame = received.frame
        result = client.pixels.take(received)
        if result is None:
            del client.session.in_flight[frame.frame_id]
            msg = "the results of earlier frames are still on their way; read them first"
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_FRAMES, frame_id=frame.frame_id)
        job = Job(
            peer=peer,
            frame=frame,
            source=client.pixels.source(received),
            result=result,
            pixels=client.pixels,
            lane=client.lanes[0],
            received_ns=received_ns,
            latest=client.latest,
            rescue=client.rescue,
        )
        for replaced in self._worker.submit(job):
            replaced.outcome = Outcome.DROPPED
            self._return(replaced, client)

    # Opening

    def _open(self, peer: bytes, client: Client, hello: Hello) -> None:
        self._clients[peer] = client
        try:
            client.requests = self._requests(hello)
            client.frame_bytes = frame_bytes(client.requests[0], hello.transport, hello.credits)
            check_room(self._clients.values(), opening=len(self._opening), limits=self._limits)
        except UpscalerError as error:
            self._refuse(peer, client, error)
            return
        self._compile(peer, client)

    def _requests(self, hello: Hello) -> list[Request]:
        """What the session needs; the second is its fallback. Raises BadRequestError."""
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
            return [self._catalogue.normalised(wanted)]
        if not is_filter(fallback):
            msg = f"unknown fallback {fallback!r}; choose a filter, such as fsr1, or {DROP}"
            raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD)
        requests = [wanted, replace(wanted, method=fallback)]
        return [self._catalogue.normalised(request) for request in requests]

    def _compile(self, peer: bytes, client: Client) -> None:
        opening = self._lanes.compile(client.requests)
        if opening is None:
            self._welcome(peer, client, None)
            return
        client.opening = opening
        self._opening[opening] = (peer, client)
        opening.add_done_callback(lambda _: self._transport.wake())

    def _welcome_opened(self) -> None:
        for opening in [each for each in self._opening if each.done()]:
            peer, client = self._opening.pop(opening)
            if opening.cancelled():
                continue
            try:
                compiled = opening.result()
            except Exception as error:  # whatever a runtime throws refuses one client only
                if not isinstance(error, UpscalerError):
                    log.exception("opening %s failed", client.requests)
                if self._clients.get(peer) is client:
                    self._refuse(peer, client, error)
            else:
                self._welcome(peer, client, compiled)

    def _welcome(self, peer: bytes, client: Client, compiled: Compiled | None) -> None:
        hello = client.session.hello
        assert hello is not None
        client.lanes = self._lanes.join(client.requests, compiled)
        if self._clients.get(peer) is not client:
            self._release(client)
            return
        if not client.lanes:
            self._compile(peer, client)
            return
        request, upscaler = client.requests[0], client.lanes[0].upscaler
        try:
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
        except UpscalerError as error:
            self._refuse(peer, client, error)
            return
        if hello.fallback:
            client.rescue = Rescue(lane=client.lanes[1] if len(client.lanes) > 1 else None)
        welcome = Welcome(
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
        log.info(
            "client %s: %s %s %sx by %s on %s (%s%s), %s, %s",
            peer.hex(),
            request.size,
            request.pixel_format.label,
            request.scale,
            upscaler.name,
            upscaler.engine,
            upscaler.device,
            ", emulated" if upscaler.emulated else "",
            hello.transport.name.lower(),
            hello.delivery.name.lower(),
        )
        self._send(peer, client.session.welcome_to_send(welcome))

    def _refuse(self, peer: bytes, client: Client, error: Exception) -> None:
        failure = failure_of(error)
        log.info("client %s refused: %s", peer.hex(), failure[1])
        refusal = client.session.refusal_to_send(*failure)
        self._forget(peer)
        self._send(peer, refusal)

    # Returning

    def _return_finished(self) -> None:
        while self._worker.finished:
            job = self._worker.finished.popleft()
            client = self._clients.get(job.peer)
            if client is None or client.pixels is not job.pixels:
                continue  # its session is over, even if the peer has opened another
            if job.error is not None:
                self._return_failure(job, client, job.error)
            else:
                self._return(job, client)

    def _return(self, job: Job, client: Client) -> None:
        welcome, frame = client.session.welcome, job.frame
        assert welcome is not None
        result = Result(
            frame_id=frame.frame_id,
            size=welcome.upscaled,
            stride=welcome.upscaled.width * welcome.pixel_format.channels,
            pixel_format=welcome.pixel_format,
            slot=frame.slot,
            outcome=job.outcome,
            submitted_ns=frame.submitted_ns,
            received_ns=job.received_ns,
            started_ns=job.started_ns,
            finished_ns=job.finished_ns,
            returned_ns=time.perf_counter_ns(),
            deadline_ns=frame.deadline_ns,
        )
        header = client.session.result_to_send(result)
        inline = welcome.transport is Transport.INLINE and job.outcome is not Outcome.DROPPED
        sent, job.result.delivery = (
            self._transport.send_pixels(job.peer, header, job.result.pixels)
            if inline
            else (self._transport.send(job.peer, [header]), DELIVERED)
        )
        job.pixels.give_back(job.result)
        self._after_sending(job.peer, sent)
        timing = Timing.of(result, arrived_ns=0)
        client.counter.add(timing, job.outcome)
        self._totals.add(welcome.method, timing, job.outcome)

    def _return_failure(self, job: Job, client: Client, error: Exception) -> None:
        log.error("frame %d failed", job.frame.frame_id, exc_info=error)
        failure = failure_of(error, frame_id=job.frame.frame_id)
        job.pixels.give_back(job.result)
        client.counter.failed += 1
        assert client.session.welcome is not None
        self._totals.add_failure(client.session.welcome.method)
        self._send(job.peer, client.session.frame_failure_to_send(*failure))

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

    # Reporting

    def _send_report(self, peer: bytes) -> None:
        self._send(peer, [encode(Report()), encode_report(self.report())])

    def _answer_loaders(self) -> None:
        for peer, error in self._loader.finish():
            if error is None:
                self._send_report(peer)
            else:
                self._send(peer, failure_to_send(*failure_of(error)))

    def report(self) -> ServiceReport:
        """What runs for whom now. Belongs to the thread of `run`."""
        engine, models = describe_catalogue(self._catalogue)
        clients = [client.report(peer) for peer, client in self._clients.items()]
        return ServiceReport(
            version=__version__,
            pid=os.getpid(),
            endpoint=self.endpoint,
            uptime_s=round(time.monotonic() - self._began, 3),
            engine=engine,
            models=models,
            methods=self._catalogue.methods,
            clients=[each for each in clients if each is not None],
            totals=self._totals.methods(),
        )

    # Leaving

    def _forget(self, peer: bytes) -> None:
        client = self._clients.pop(peer, None)
        if client is None:
            return
        if client.session.state is State.OPEN or client.session.state is State.CLOSED:
            log.info("client %s left after %d frames", peer.hex(), client.counter.frames)
        if client.opening is not None:
            client.opening.cancel()
        self._worker.forget(peer)
        self._release(client)

    def _release(self, client: Client) -> None:
        if client.pixels is not None:
            client.pixels.close()
        lanes, client.lanes = client.lanes, []
        for lane in lanes:
            self._lanes.leave(lane)

    def _shut_down(self) -> None:
        self._worker.stop()
        self._return_finished()
        for peer in self._clients:
            self._transport.send(peer, [encode(Bye())])
        for client in self._clients.values():
            if client.pixels is not None:
                client.pixels.close()
        self._lanes.shut_down()
        self._loader.shut_down()
        for opening in self._opening:
            close_result(opening)
        self._transport.close()
