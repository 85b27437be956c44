"""The service itself: two threads that take turns at listening and upscaling, one that compiles.

One thread leads: it listens, and keeps the sessions. When a frame comes and none is being upscaled
it upscales that frame itself, and the other thread leads meanwhile. So no frame and no result is
handed from one thread to another, which would cost two wakes of a sleeping thread, 0.1 ms and more.
Everything but listening and upscaling happens under one lock.

Nothing a client sends can stop the loop: what breaks the contract is answered with an error and
forgotten, and what an upscaler throws ends one frame. The service's own memory is bounded before it
is allocated: frames by `protocol.frames`, frames in flight by credits, results that nobody reads by
`InlinePixels`, clients and compilations by `Limits`. What ZeroMQ holds of messages that have not
been looked at is not bounded: they are taken as they come, also while a frame is being upscaled.
"""

from __future__ import annotations

import logging
import threading
import time

from protocol.errors import ErrorCode, ProtocolError, UpscalerError
from protocol.frames import MAX_PIXELS
from protocol.messages import (
    Bye,
    Hello,
    Keepalive,
    Outcome,
    Query,
    Report,
    Result,
    Transport,
    encode,
)
from protocol.session import (
    ReceivedFrame,
    ReceivedLoad,
    failure_of,
    failure_to_send,
)
from protocol.states import State
from upscaler.catalogue import Catalogue
from upscaler.contract import Upscaler
from upscaler.service.clients import Client, Limits, check_room, frame_bytes
from upscaler.service.jobs import Job, JobQueue, upscale
from upscaler.service.lanes import Compiled, Lanes
from upscaler.service.loader import Loader
from upscaler.service.opening import Opener, requests_of, rescue_of, summary, welcome_of
from upscaler.service.report import ClientReport, Reporter
from upscaler.shared_memory import remove_abandoned
from upscaler.timings import Timing
from upscaler.transport import DELIVERED, RouterTransport, Sent

log = logging.getLogger(__name__)

SIGNALS_S = 0.5
"""How long the main thread waits at most without looking for signals, whose handlers run on it: one
that comes just before a wait, or on another thread, does not end it."""
MOST_RECEIVING_NS = 2_000_000
"""How long messages are taken before frames, results and sessions have their turn."""


class Service:
    """Upscales frames for clients until `stop` is called.

    `run` belongs to one thread; `stop` may be called from any, or from a signal handler. Whoever
    does not come to `run` calls `close`.
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
        self._lanes = Lanes(catalogue, retire=self._retire)
        self._jobs = JobQueue(close=self._lanes.close)
        self._opener = Opener(self._lanes, notify=self._transport.wake)
        self._loader = Loader(self._lanes, notify=self._transport.wake)
        self._clients: dict[bytes, Client] = {}
        self._reporter = Reporter(catalogue, self.endpoint)
        self._leading = threading.Lock()
        self._state = threading.Lock()
        self._stopping = self._closed = False
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

    def stop(self) -> None:
        """Make `run` return after the frame that is being upscaled."""
        self._stopping = True
        self._transport.wake()

    def run(self) -> None:
        """Serve until `stop`; then say goodbye to every client and free everything."""
        failed: list[BaseException] = []

        def serve_or_stop() -> None:
            try:
                self._serve()
            except BaseException as error:  # noqa: BLE001 - raised below, on the caller's thread
                failed.append(error)
                self.stop()

        other = threading.Thread(target=serve_or_stop, name="serve", daemon=True)
        other.start()
        try:
            self._serve()
        finally:
            self.stop()
            other.join()
            self.close()
        if failed:
            raise failed[0]

    def _serve(self) -> None:
        while True:
            while not self._leading.acquire(timeout=SIGNALS_S):
                pass
            try:
                job = self._listen()
            finally:
                self._leading.release()
            if job is None:
                return
            while job is not None:
                upscale(job)
                with self._state:
                    job = self._finish(job)

    def _listen(self) -> Job | None:
        """Keep the sessions until there is a frame to upscale; None when the service stops."""
        while not self._stopping:
            with self._state:
                self._receive_waiting()
                job = self._jobs.take()
                if job is not None:  # the other thread sees to everything else meanwhile
                    return job
                self._welcome_opened()
                self._answer_loaders()
                self._keep_alive()
                # Last of all: whatever is sent may use up what would have told of a message.
                more = self._transport.readable
            if not more:
                self._transport.wait(self._limits.keepalive_s / 2)
        return None

    def _finish(self, job: Job) -> Job | None:
        """Return a result, and take the next job, which needs no other thread to be woken."""
        client = self._clients.get(job.peer)
        # Otherwise its session is over, even if the peer has opened another.
        if client is not None and client.pixels is job.pixels:
            if job.error is not None:
                self._return_failure(job, client, job.error)
            else:
                self._return(job, client)
        self._jobs.done()
        if self._transport.readable:  # sending may have used up what would have told the listener
            self._transport.wake()
        return None if self._stopping else self._jobs.take()

    # Receiving

    def _receive_waiting(self) -> None:
        # Bounded, so that a flood of messages cannot keep frames and results from their turn.
        until_ns = time.perf_counter_ns() + MOST_RECEIVING_NS
        while not self._jobs.may_start and time.perf_counter_ns() < until_ns:
            received = self._transport.receive()
            if received is None:
                return
            peer, parts = received
            client = self._clients.get(peer) or Client(last_sent=time.monotonic())
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
        for replaced in self._jobs.add(job):
            replaced.outcome = Outcome.DROPPED
            self._return(replaced, client)

    # Opening

    def _open(self, peer: bytes, client: Client, hello: Hello) -> None:
        self._clients[peer] = client
        try:
            client.requests = requests_of(hello, self._catalogue)
            client.frame_bytes = frame_bytes(client.requests[0], hello.transport, hello.credits)
            check_room(self._clients.values(), opening=len(self._opener), limits=self._limits)
        except UpscalerError as error:
            self._refuse(peer, client, error)
            return
        if not self._opener.start(peer, client):
            self._welcome(peer, client, None)

    def _welcome_opened(self) -> None:
        for peer, client, opened in self._opener.finish():
            if not isinstance(opened, Exception):
                try:
                    self._welcome(peer, client, opened)
                except Exception as error:  # memory may run out, and others are waiting
                    log.exception("welcoming client %s failed", peer.hex())
                    self._send(peer, failure_to_send(*failure_of(error)))
                    self._forget(peer)
                continue
            if not isinstance(opened, UpscalerError):
                log.error("opening %s failed", client.requests, exc_info=opened)
            if self._clients.get(peer) is client:
                self._refuse(peer, client, opened)

    def _welcome(self, peer: bytes, client: Client, compiled: Compiled | None) -> None:
        client.lanes = self._lanes.join(client.requests, compiled)
        if self._clients.get(peer) is not client:
            self._release(client)
            return
        if not client.lanes:  # something has changed meanwhile
            if self._opener.start(peer, client):
                return
            client.lanes = self._lanes.join(client.requests)
        welcome, client.rescue = welcome_of(client), rescue_of(client)
        log.info("client %s: %s", peer.hex(), summary(client.requests[0], welcome))
        self._send(peer, client.session.welcome_to_send(welcome))

    def _refuse(self, peer: bytes, client: Client, error: Exception) -> None:
        failure = failure_of(error)
        log.info("client %s refused: %s", peer.hex(), failure[1])
        refusal = client.session.refusal_to_send(*failure)
        self._forget(peer)
        self._send(peer, refusal)

    # Returning

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
        self._reporter.totals.add(welcome.method, timing, job.outcome)

    def _return_failure(self, job: Job, client: Client, error: Exception) -> None:
        log.error("frame %d failed", job.frame.frame_id, exc_info=error)
        failure = failure_of(error, frame_id=job.frame.frame_id)
        job.pixels.give_back(job.result)
        client.counter.failed += 1
        assert client.session.welcome is not None
        self._reporter.totals.add_failure(client.session.welcome.method)
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

    def _send_report(self, peer: bytes, *, fresh: bool = False) -> None:
        text = self._reporter.encoded(self._client_reports, fresh=fresh)
        self._send(peer, [encode(Report()), text])

    def _client_reports(self) -> list[ClientReport | None]:
        return [client.report(peer) for peer, client in self._clients.items()]

    def _answer_loaders(self) -> None:
        for peer, error in self._loader.finish():
            if error is None:
                self._send_report(peer, fresh=True)
            else:
                self._send(peer, failure_to_send(*failure_of(error)))

    # Leaving

    def _forget(self, peer: bytes) -> None:
        client = self._clients.pop(peer, None)
        if client is None:
            return
        if client.session.state is State.OPEN or client.session.state is State.CLOSED:
            log.info("client %s left after %d frames", peer.hex(), client.counter.frames)
        if client.opening is not None:
            client.opening.cancel()
        self._jobs.forget(peer)
        self._release(client)

    def _release(self, client: Client) -> None:
        self._opener.free(client)
        lanes, client.lanes = client.lanes, []
        for lane in lanes:
            self._lanes.leave(lane)

    def _retire(self, upscaler: Upscaler) -> None:
        self._jobs.close_later(upscaler)

    def close(self) -> None:
        """Say goodbye to every client and free everything; `run` does it at its end. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for peer in self._clients:
            self._transport.send(peer, [encode(Bye())])
        for client in self._clients.values():
            self._opener.free(client)
        for waiting in (self._opener, self._loader):
            waiting.cancel()
        self._lanes.shut_down()
        for waiting in (self._opener, self._loader):
            waiting.shut_down()
        self._transport.close()
