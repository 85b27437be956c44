"""ZeroMQ, and nothing else: the only file that knows it.

Ownership of pixels. Received parts are views of ZeroMQ's own buffers: they live as long as the
view and are never written again. Sent parts are handed over without a copy when the caller asks
for a `Delivery`; the caller must then leave their memory alone until `Delivery.done`.
"""

from __future__ import annotations

import math
import os
import selectors
import socket
import stat
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from protocol.errors import BadRequestError, ErrorCode, ServiceError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HIGH_WATER_MARK = 16
"""Messages that ZeroMQ may queue for one peer."""
READ, WRITE = 1, 2
"""ZMQ_POLLIN and ZMQ_POLLOUT."""
EVENTS, RCVMORE = 15, 13
"""ZMQ_EVENTS and ZMQ_RCVMORE."""
DONTWAIT, SNDMORE = 1, 2
"""ZMQ_DONTWAIT and ZMQ_SNDMORE. Plain numbers: pyzmq's flags take microseconds to combine."""
LOOK_S = 0.05
"""How long a connection is taken to be there without looking."""
WAKES = 4096
"""Wakes that are noticed at once."""
SOCKET_BUFFER_BYTES = 4 << 20
"""Kernel buffer of an ipc socket; the kernel grants less where its limit is lower."""


def check_endpoint(endpoint: str, *, connecting: bool = False) -> None:
    """Raise BadRequestError unless `endpoint` is tcp on loopback, or ipc.

    A service may leave the port to the system (* or 0), a client that is `connecting` may not.

    Remote use needs encryption and keys, which the service does not offer yet.
    """
    scheme, _, address = endpoint.partition("://")
    # Linux's abstract names (ipc://@name) have no permissions, so anybody could connect.
    if scheme == "ipc" and address and not address.startswith("@"):
        return
    if scheme == "tcp":
        try:
            parts = urlsplit(endpoint)
            port = endpoint.rpartition(":")[2]
        except ValueError:
            parts = None
        if parts is not None:
            # Not int(): ZeroMQ would read 5_999, which int() takes, as port 5.
            number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
            valid_port = (port == "*" and not connecting) or connecting <= number <= 65535
            host = parts.netloc.rpartition(":")[0]
            if valid_port and host in LOOPBACK:
                return
            if valid_port and host:
                msg = (
                    f"{endpoint} is not on this machine; the service speaks on loopback only: "
                    "use tcp://127.0.0.1:PORT or ipc://PATH"
                )
                raise BadRequestError(msg)
    msg = f"{endpoint!r} is no endpoint; use tcp://127.0.0.1:PORT or ipc://PATH"
    raise BadRequestError(msg)


Part = bytes | memoryview


class Sent(Enum):
    """What became of a message."""

    QUEUED = "queued"
    PEER_GONE = "peer gone"
    PEER_FULL = "peer full"


class Delivery:
    """Tells when ZeroMQ has let go of the memory of a message."""

    def __init__(self, tracker: Any = None) -> None:
        self._tracker = tracker

    @property
    def done(self) -> bool:
        """Whether the memory may be written again."""
        return self._tracker is None or bool(self._tracker.done)


DELIVERED = Delivery()
"""Of messages without pixels."""


class RouterTransport:
    """The service's socket: many peers, each known by an opaque identity.

    One thread at a time, but for `wake`, and for `wait`, during which another may use the rest.
    """

    def __init__(self, endpoint: str, *, max_part_bytes: int) -> None:
        """Bind `endpoint`; a tcp port of `*` or 0 picks a free one, see `endpoint`.

        Raises ServiceError when the address is taken or cannot be bound.
        """
        import zmq

        check_endpoint(endpoint)
        self._zmq = zmq
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.IPV6, int("[" in endpoint))
        # Sending to a peer that has gone is an error rather than silence: it ends the session.
        self._socket.set(zmq.ROUTER_MANDATORY, 1)
        self._socket.set(zmq.MAXMSGSIZE, max_part_bytes)
        self._socket.set(zmq.SNDHWM, HIGH_WATER_MARK)
        # No mark: at one, libzmq stops reading, and aborts the process when the peer then leaves
        # with a heartbeat unanswered (4.3.5, stream_engine_base.cpp:310; its issue 4364). The
        # service reads all the time, also while it upscales.
        self._socket.set(zmq.RCVHWM, 0)
        _widen(self._socket, endpoint)
        # A peer whose machine has stopped answering is disconnected, though TCP would not tell.
        self._socket.set(zmq.HEARTBEAT_IVL, 2000)
        self._socket.set(zmq.HEARTBEAT_TIMEOUT, 10000)
        try:
            _bind(self._socket, endpoint)
        except (zmq.ZMQError, OSError) as error:
            self._context.destroy(linger=0)
            msg = f"cannot listen on {endpoint}: {error}; choose another with --bind"
            raise ServiceError(msg, code=ErrorCode.BAD_OPTION) from error
        self.endpoint: str = self._socket.get_string(zmq.LAST_ENDPOINT)
        # Cheaper than a ZeroMQ socket: the inference thread calls it after each frame.
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(int(self._socket.get(zmq.FD)), selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def wake(self) -> None:
        """Make `wait` return. May be called from any thread, or from a signal handler."""
        # Full means that hundreds of wakes are waiting to be noticed, closed that nobody waits any
        # more: one more changes nothing.
        with suppress(OSError):
            self._waker.send(b"\0")

    def wait(self, timeout_s: float) -> None:
        """Sleep until there may be a message, or a `wake` comes, or the time is over.

        Only after `readable` was false, and no other method has been called since by this thread:
        ZeroMQ's descriptor tells of changes alone. Whoever calls one while another thread is in
        here must look at `readable` afterwards, and `wake` that thread if there is something.
        """
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._woken:
                # One that is left behind would make every later wait return at once.
                with suppress(BlockingIOError):
                    self._woken.recv(WAKES)

    @property
    def readable(self) -> bool:
        """Whether `receive` has something to return."""
        return _may(self._socket, READ)

    def receive(self) -> tuple[bytes, list[Part]] | None:
        """Return the next message as (peer, parts), or None when there is none."""
        received = self._socket
        # Asked for, and not tried: an exception for every time that nothing is there costs more.
        if not self.readable:
            return None
        peer = received.recv()
        return peer, _receive_parts(received) if received.get(RCVMORE) else []

    def send(self, peer: bytes, parts: Sequence[bytes]) -> Sent:
        """Queue a message of small parts."""
        *firsts, last = (peer, *parts)
        try:
            for part in firsts:
                self._socket.send(part, DONTWAIT | SNDMORE)
            self._socket.send(last, DONTWAIT)
        except self._zmq.ZMQError as error:
            return self._refused(error)
        return Sent.QUEUED

    def send_pixels(self, peer: bytes, header: bytes, pixels: Any) -> tuple[Sent, Delivery]:
        """Queue a message whose second part is sent from the caller's memory."""
        try:
            self._socket.send(peer, DONTWAIT | SNDMORE)
            self._socket.send(header, DONTWAIT | SNDMORE)
            tracker = self._socket.send(pixels, DONTWAIT, copy=False, track=True)
        except self._zmq.ZMQError as error:
            return self._refused(error), Delivery()
        return Sent.QUEUED, Delivery(tracker)

    def close(self, *, linger_s: float = 1.0) -> None:
        """Send what is queued, for at most `linger_s`, and free the endpoint."""
        self._selector.close()
        self._waker.close()
        self._woken.close()
        self._socket.close(linger=int(linger_s * 1000))
        self._context.term()

    def _refused(self, error: Any) -> Sent:
        if error.errno == self._zmq.EHOSTUNREACH:
            return Sent.PEER_GONE
        if error.errno == self._zmq.EAGAIN:
            return Sent.PEER_FULL
        raise error


class DealerTransport:
    """A client's socket. Belongs to one thread."""

    def __init__(self, endpoint: str) -> None:
        """Connect to `endpoint`; whether anybody listens shows with the first answer."""
        import zmq

        check_endpoint(endpoint, connecting=True)
        self._zmq = zmq
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.IPV6, int("[" in endpoint))
        self._socket.set(zmq.SNDHWM, HIGH_WATER_MARK)
        # No mark: credits bound the results, and a client that pauses for minutes, in a menu say,
        # must not stop reading the connection, or its heartbeats cease and it is cut off.
        self._socket.set(zmq.RCVHWM, 0)
        _widen(self._socket, endpoint)
        # Tells at once when the service has gone: a killed one closes its sockets, too.
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        # Also for one who forgets to close: a context that is collected before its sockets waits
        # for them for ever.
        self._release = weakref.finalize(
            self, _close_dealer, self._context, self._socket, self._monitor, 0
        )
        self._lost = False
        self._heard = time.monotonic()
        self._waits_ms = -1
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close(linger_s=0)
            msg = f"cannot connect to {endpoint}: {error}"
            raise ServiceError(msg, code=ErrorCode.BAD_OPTION) from error

    def send(self, parts: Sequence[Any], *, timeout_s: float, copy: bool = True) -> bool:
        """Queue the parts; False when the service takes nothing for `timeout_s`.

        Without `copy` their memory must not change until the service has answered.
        """
        *firsts, last = parts
        try:
            for part in firsts:
                self._socket.send(part, DONTWAIT | SNDMORE)
            self._socket.send(last, DONTWAIT, copy=copy)
        except self._zmq.Again:  # credits bound what is on its way, so that this is rare
            if not self._socket.poll(math.ceil(timeout_s * 1000), WRITE):
                return False
            self._socket.send_multipart(parts, copy=copy)
        return True

    def receive(self, timeout_s: float) -> list[Part] | None:
        """Return the parts of the next message, or None when the time is over.

        None also when the connection has been lost and nothing more can come: see `lost`.
        """
        parts = self._wait_for_parts(timeout_s)
        if parts is not None:
            self._heard = time.monotonic()
        return parts

    def _wait_for_parts(self, timeout_s: float) -> list[Part] | None:
        left_s = timeout_s
        ends = time.monotonic() + timeout_s
        # Waited for in the call that returns the message, with a look at the connection now and
        # then: a poll of both, and other calls after it, cost more of every frame.
        while left_s > 0 and not self._lost:
            self._wait_at_most(min(left_s, LOOK_S))
            try:
                return _receive_parts(self._socket)
            except self._zmq.Again:
                self._lost = _may(self._monitor, READ)
                left_s = ends - time.monotonic()
        # What has arrived before the connection was lost still counts, a goodbye above all.
        return _receive_parts(self._socket) if _may(self._socket, READ) else None

    def _wait_at_most(self, seconds: float) -> None:
        waits_ms = math.ceil(seconds * 1000)
        if waits_ms != self._waits_ms:
            self._socket.set(self._zmq.RCVTIMEO, waits_ms)
            self._waits_ms = waits_ms

    @property
    def lost(self) -> bool:
        """Whether the other side has gone and nothing that it sent is left to `receive`.

        Looked up at most every `LOOK_S`: one who was heard of a moment ago is taken to be there.
        """
        now = time.monotonic()
        if not self._lost and now - self._heard > LOOK_S:
            self._lost, self._heard = _may(self._monitor, READ), now
        return self._lost and not _may(self._socket, READ)

    def close(self, *, linger_s: float = 1.0) -> None:
        """Send what is queued, for at most `linger_s`, and disconnect."""
        if self._release.detach() is not None:
            _close_dealer(self._context, self._socket, self._monitor, linger_s)


def _close_dealer(context: Any, zmq_socket: Any, monitor: Any, linger_s: float) -> None:
    zmq_socket.disable_monitor()
    monitor.close(linger=0)
    zmq_socket.close(linger=int(linger_s * 1000))
    context.term()


def _may(zmq_socket: Any, event: int) -> bool:
    """Whether a socket can be read from, or written to, at once."""
    return bool(int.__and__(zmq_socket.get(EVENTS), event))


def _receive_parts(receiver: Any) -> list[Part]:
    """Receive the rest of a message: its header copied, which is small, pixels as they lie."""
    parts: list[Part] = [receiver.recv()]
    while receiver.get(RCVMORE):
        parts.append(receiver.recv(copy=False).buffer)
    return parts


def _widen(zmq_socket: Any, endpoint: str) -> None:
    """Let a whole frame wait in the kernel: Unix sockets hold 208 KiB unless they are told.

    Then sender and receiver wake each other some 30 times for one 1080p frame. TCP tunes itself.
    """
    import zmq

    if endpoint.startswith("ipc://"):
        zmq_socket.set(zmq.SNDBUF, SOCKET_BUFFER_BYTES)
        zmq_socket.set(zmq.RCVBUF, SOCKET_BUFFER_BYTES)


def _bind(zmq_socket: Any, endpoint: str) -> None:
    scheme, _, address = endpoint.partition("://")
    if scheme == "tcp":
        zmq_socket.bind(endpoint)
        return
    path = Path(address)
    # ZeroMQ would silently take an ipc path over from a running service.
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            msg = f"{path} exists and is no socket"
            raise FileExistsError(msg)
        if _answers(path):
            msg = "another service is listening there"
            raise FileExistsError(msg)
    # Readable by the owner alone, from the first moment.
    previous = os.umask(0o177)
    try:
        zmq_socket.bind(endpoint)
    finally:
        os.umask(previous)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
