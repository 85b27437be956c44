"""A client's session as it is opened, lost and opened anew; frames are `client`'s.

Not thread-safe: it belongs to the client's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from msgspec.structs import replace

from protocol.errors import (
    BadRequestError,
    ErrorCode,
    ServiceError,
    ServiceLostError,
    ServiceTimeoutError,
)
from protocol.messages import Hello, Keepalive, Transport, Welcome
from protocol.session import ClientSession, ReceivedResult
from protocol.states import State
from upscaler.client_slots import ClientSlots
from upscaler.transport import DealerTransport

log = logging.getLogger(__name__)

RETRY_S = 0.1
"""Between attempts to open a session with a service that ends each time."""


class Wait:
    """A time that several waits share."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._ends = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """What is left of it, at least 0."""
        return max(0.0, self._ends - time.monotonic())


class Connection:
    """The session that `hello` asks the service at `endpoint` for, and its memory for frames.

    With `may_go_inline` pixels travel in messages where shared memory cannot be had; then
    `inline_reason` says why.
    """

    def __init__(self, endpoint: str, hello: Hello, *, may_go_inline: bool) -> None:
        """Connect; `ready` opens the session. Raises BadRequestError for what is no endpoint."""
        self.endpoint = endpoint
        self.inline_reason = ""
        self.session = ClientSession()
        self.slots: ClientSlots | None = None
        self._hello = hello
        self._may_go_inline = may_go_inline
        self._closed = False
        self._socket: DealerTransport | None = DealerTransport(endpoint)

    def ready(self, wait: Wait) -> ClientSlots:
        """Return the slots of the open session, which is opened anew if need be.

        Raises ServiceLostError, once, when the service has gone; ServiceTimeoutError when none
        answers in time, after which the next call waits on; ServiceError for what it refuses.
        """
        if self._closed:
            msg = "this client is closed; make another"
            raise BadRequestError(msg)
        if self.session.state is not State.OPEN:
            self._open(wait)
        assert self._socket is not None
        if self._socket.lost:
            self._lose(f"the service at {self.endpoint} has gone")
        assert self.slots is not None
        return self.slots

    def send(self, parts: Sequence[Any], wait: Wait, *, copy: bool = True) -> None:
        """Send a message; raises ServiceTimeoutError when the service takes nothing in time."""
        assert self._socket is not None
        if not self._socket.send(parts, timeout_s=wait.left_s, copy=copy):
            raise self._timed_out(wait)

    def receive(self, wait: Wait) -> Welcome | ReceivedResult | Keepalive | ServiceError:
        """Return what comes next; an error of the service is returned as such.

        Raises ServiceTimeoutError when nothing comes in time, ServiceLostError when the service
        has gone.
        """
        assert self._socket is not None
        parts = self._socket.receive(wait.left_s)
        if parts is None and self._socket.lost:
            self._lose(f"the service at {self.endpoint} has gone")
        if parts is None:
            raise self._timed_out(wait)
        try:
            return self.session.receive_message(parts)
        except ServiceError as error:  # it says that it ends
            self._lose(str(error), error.code)

    def close(self) -> None:
        """Say goodbye and disconnect. Idempotent; arrays of results stay readable."""
        self._closed = True
        if self._socket is not None:
            polite = self.session.state is State.OPEN
            if polite:
                self._socket.send(self.session.bye_to_send(), timeout_s=0)
            self._forget(linger_s=1.0 if polite else 0.0)

    def _open(self, wait: Wait) -> None:
        """Say hello and wait for the answer, of a service that may be only just starting."""
        while self.session.state is not State.OPEN:
            if self._socket is None:
                self._socket = DealerTransport(self.endpoint)
            if self.session.state is State.NEW:
                self.send(self.session.hello_to_send(self._hello), wait)
            try:
                event = self.receive(wait)
            except ServiceLostError:  # it ended while it was asked; its successor will be, too
                time.sleep(min(RETRY_S, wait.left_s))
                continue
            try:
                if isinstance(event, ServiceError):
                    raise event
                if isinstance(event, Welcome):
                    hello = self._hello
                    self.slots = ClientSlots(event, hello.size.shape(hello.pixel_format))
            except ServiceError as error:
                if self._hello.transport is Transport.INLINE or not (
                    self._may_go_inline and error.code is ErrorCode.UNSUPPORTED_TRANSPORT
                ):
                    self._ask_again(wait)
                    raise
                self._go_inline(str(error), wait)

    def _go_inline(self, reason: str, wait: Wait) -> None:
        """Ask again, for pixels in messages. Never silently: it costs milliseconds a frame."""
        log.warning("pixels travel inline: %s", reason)
        self.inline_reason = reason
        self._ask_again(wait)
        self._hello = replace(self._hello, transport=Transport.INLINE)

    def _ask_again(self, wait: Wait) -> None:
        """Leave a session that is of no use, for another hello."""
        if self.session.state is State.OPEN:
            self.send(self.session.bye_to_send(), wait)
        self.session = ClientSession(last_frame_id=self.session.last_frame_id)

    def _lose(self, reason: str, code: ErrorCode = ErrorCode.SERVICE_LOST) -> NoReturn:
        """Forget the service that has gone, and say which frames went with it."""
        lost = tuple(self.session.in_flight)
        self._forget(linger_s=0)
        self.session = ClientSession(last_frame_id=self.session.last_frame_id)
        frames = f"frame{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))}"
        said = f"{reason}; {frames} of this client are lost" if lost else reason
        raise ServiceLostError(said, code=code, frame_ids=lost)

    def _forget(self, *, linger_s: float) -> None:
        assert self._socket is not None
        self._socket.close(linger_s=linger_s)
        self._socket = None
        if self.slots is not None:
            self.slots.close()
            self.slots = None

    def _timed_out(self, wait: Wait) -> ServiceTimeoutError:
        msg = (
            f"the service at {self.endpoint} did not answer within {wait.timeout_s:.3g} s; "
            "is `upscaler serve` running there?"
        )
        return ServiceTimeoutError(msg)
