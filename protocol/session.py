"""A session as both sides see it: pure state machines, without sockets or clocks.

    NEW ──hello──▶ OPENING ──welcome──▶ OPEN ──bye──▶ CLOSED
     ▲                │
     └────refused─────┘

HELLO says what the client wants; the service compiles it, which may take seconds, and answers
WELCOME, or ERROR, after which the client may ask for something else. While OPEN, each FRAME
spends a credit and each RESULT, or ERROR with that frame's id, gives it back. An error changes no
state: a bad message costs its sender an ERROR and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from protocol.errors import ErrorCode, ProtocolError, ServiceError
from protocol.frames import PixelFormat, Size
from protocol.messages import (
    INLINE_SLOT,
    Bye,
    Bytes,
    Delivery,
    Failure,
    Frame,
    Hello,
    Keepalive,
    Result,
    Transport,
    Welcome,
    decode,
    encode,
)

MAX_CREDITS = 8
"""Most frames that a client may have in flight."""
MAX_SENTENCE_BYTES = 4096


class State(Enum):
    """Where a session stands."""

    NEW = "new"
    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"


class Event(Enum):
    """What moves a session."""

    HELLO = "hello"
    WELCOME = "welcome"
    REFUSED = "refused"
    FRAME = "frame"
    RESULT = "result"
    BYE = "bye"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.NEW, Event.HELLO): State.OPENING,
    (State.NEW, Event.BYE): State.CLOSED,
    (State.OPENING, Event.WELCOME): State.OPEN,
    (State.OPENING, Event.REFUSED): State.NEW,
    (State.OPENING, Event.BYE): State.CLOSED,
    (State.OPEN, Event.FRAME): State.OPEN,
    (State.OPEN, Event.RESULT): State.OPEN,
    (State.OPEN, Event.BYE): State.CLOSED,
}


def _next_state(state: State, event: Event, *, frame_id: int = 0) -> State:
    try:
        return TRANSITIONS[state, event]
    except KeyError as error:
        remedy = " Send HELLO and wait for WELCOME first." if state is State.NEW else ""
        msg = f"{event.name} is not allowed while the session is {state.value}.{remedy}"
        raise ProtocolError(
            msg.rstrip("."), code=ErrorCode.UNEXPECTED_MESSAGE, frame_id=frame_id
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFrame:
    """A frame that passed every check: `pixels` holds `stride * height` bytes."""

    frame: Frame
    pixels: memoryview


class ServiceSession:
    """The service's side of one client."""

    def __init__(self) -> None:
        self.state = State.NEW
        self.hello: Hello | None = None
        self.welcome: Welcome | None = None
        self.in_flight: set[int] = set()
        self._last_frame_id = 0

    def receive_message(self, parts: Sequence[Bytes]) -> Hello | ReceivedFrame | Keepalive | Bye:
        """Take one message of the client and return what it asks for.

        Raises ProtocolError, with the frame's id where there is one, for anything that is
        malformed, out of turn, over the credits or unlike the session's frames. The session is
        then as it was.
        """
        if not parts:
            msg = "an empty message"
            raise ProtocolError(msg)
        message = decode(parts[0])
        if isinstance(message, Frame):
            return self._receive_frame(message, parts[1:])
        if len(parts) > 1:
            msg = f"{message.kind.name} has no second part"
            raise ProtocolError(msg)
        if isinstance(message, Hello):
            state = _next_state(self.state, Event.HELLO)
            self._check_hello(message)
            self.state, self.hello = state, message
            return message
        if isinstance(message, Bye):
            self.state = _next_state(self.state, Event.BYE)
            return message
        if isinstance(message, Keepalive):
            return message
        msg = f"{message.kind.name} is a message of the service, not of a client"
        raise ProtocolError(msg, code=ErrorCode.UNEXPECTED_MESSAGE)

    def welcome_to_send(self, welcome: Welcome) -> list[bytes]:
        """Open the session."""
        self.state = _next_state(self.state, Event.WELCOME)
        self.welcome = welcome
        return [encode(welcome)]

    def refusal_to_send(self, error: Failure, sentence: str) -> list[bytes]:
        """Refuse what HELLO asked for; the client may ask again."""
        self.state = _next_state(self.state, Event.REFUSED)
        return failure_to_send(error, sentence)

    def result_to_send(self, result: Result) -> bytes:
        """Return the header of a result and give its credit back."""
        self.state = _next_state(self.state, Event.RESULT)
        self.in_flight.discard(result.frame_id)
        return encode(result)

    def frame_failure_to_send(self, error: Failure, sentence: str) -> list[bytes]:
        """Answer a frame with an error and give its credit back."""
        self.in_flight.discard(error.frame_id)
        return failure_to_send(error, sentence)

    @staticmethod
    def _check_hello(hello: Hello) -> None:
        if hello.transport is not Transport.INLINE:
            msg = "this service takes pixels inline only; ask for transport 1 (inline)"
            raise ProtocolError(msg, code=ErrorCode.UNSUPPORTED_TRANSPORT)
        if hello.delivery is not Delivery.EVERY:
            msg = "this service upscales every frame; ask for delivery 2 (every)"
            raise ProtocolError(msg, code=ErrorCode.BAD_OPTION)
        if not 1 <= hello.credits <= MAX_CREDITS:
            msg = f"{hello.credits} frames in flight were asked for; choose 1 to {MAX_CREDITS}"
            raise ProtocolError(msg, code=ErrorCode.BAD_OPTION)

    def _receive_frame(self, frame: Frame, rest: Sequence[Bytes]) -> ReceivedFrame:
        identity = frame.frame_id
        state = _next_state(self.state, Event.FRAME, frame_id=identity)
        assert self.hello is not None
        assert self.welcome is not None
        if identity <= self._last_frame_id:
            # About no frame: this id may belong to one that is in flight and whose credit is spent.
            msg = f"frame id {identity} does not follow {self._last_frame_id}; ids must grow"
            raise ProtocolError(msg)
        if len(self.in_flight) >= self.welcome.credits:
            msg = f"{len(self.in_flight)} frames are in flight already; wait for a result first"
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_FRAMES, frame_id=identity)
        if frame.slot != INLINE_SLOT or len(rest) != 1:
            msg = "the session is inline: a frame needs slot 65535 and one part of pixels"
            raise ProtocolError(msg, code=ErrorCode.PIXELS_MISMATCH, frame_id=identity)
        _check_pixels(
            size=frame.size,
            pixel_format=frame.pixel_format,
            stride=frame.stride,
            expected=(self.hello.size, self.hello.pixel_format),
            frame_id=identity,
        )
        pixels = memoryview(rest[0]).cast("B")
        if len(pixels) != frame.stride * frame.size.height:
            msg = (
                f"frame {identity} has {len(pixels)} bytes of pixels where its header says "
                f"{frame.stride} x {frame.size.height} = {frame.stride * frame.size.height}"
            )
            raise ProtocolError(msg, code=ErrorCode.PIXELS_MISMATCH, frame_id=identity)
        self.state = state
        self._last_frame_id = identity
        self.in_flight.add(identity)
        return ReceivedFrame(frame=frame, pixels=pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedResult:
    """A result that passed every check: `pixels` holds `stride * height` bytes."""

    result: Result
    pixels: memoryview


class ClientSession:
    """The client's side."""

    def __init__(self) -> None:
        self.state = State.NEW
        self.hello: Hello | None = None
        self.welcome: Welcome | None = None
        self.in_flight: set[int] = set()
        self._last_frame_id = 0

    @property
    def credits(self) -> int:
        """Frames that may be submitted now."""
        return 0 if self.welcome is None else self.welcome.credits - len(self.in_flight)

    def hello_to_send(self, hello: Hello) -> list[bytes]:
        """Ask for a session."""
        self.state = _next_state(self.state, Event.HELLO)
        self.hello = hello
        return [encode(hello)]

    def frame_to_send(self, *, stride: int, submitted_ns: int) -> tuple[int, bytes]:
        """Spend a credit; return the new frame's id and its header.

        Raises ProtocolError (TOO_MANY_FRAMES) without a credit.
        """
        state = _next_state(self.state, Event.FRAME)
        assert self.hello is not None
        if self.credits < 1:
            msg = f"{len(self.in_flight)} frames are in flight already; receive a result first"
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_FRAMES)
        self.state = state
        self._last_frame_id += 1
        frame = Frame(
            frame_id=self._last_frame_id,
            size=self.hello.size,
            stride=stride,
            pixel_format=self.hello.pixel_format,
            submitted_ns=submitted_ns,
        )
        self.in_flight.add(frame.frame_id)
        return frame.frame_id, encode(frame)

    def bye_to_send(self) -> list[bytes]:
        """End the session."""
        self.state = _next_state(self.state, Event.BYE)
        return [encode(Bye())]

    def receive_message(
        self, parts: Sequence[Bytes]
    ) -> Welcome | ReceivedResult | Keepalive | ServiceError:
        """Take one message of the service.

        An ERROR is returned as the ServiceError it means, for the caller to raise where it fits.
        Raises ProtocolError for a message that breaks the contract, and ServiceError when the
        service ends the session.
        """
        message = decode(parts[0])
        if isinstance(message, Welcome):
            self.state = _next_state(self.state, Event.WELCOME)
            self.welcome = message
            return message
        if isinstance(message, Result):
            return self._receive_result(message, parts[1:])
        if isinstance(message, Failure):
            return self._receive_failure(message, parts[1:])
        if isinstance(message, Bye):
            self.state = _next_state(self.state, Event.BYE)
            msg = "the service has shut down"
            raise ServiceError(msg, code=ErrorCode.SHUTTING_DOWN)
        if isinstance(message, Keepalive):
            return message
        msg = f"{message.kind.name} is a message of a client, not of the service"
        raise ProtocolError(msg, code=ErrorCode.UNEXPECTED_MESSAGE)

    def _receive_result(self, result: Result, rest: Sequence[Bytes]) -> ReceivedResult:
        state = _next_state(self.state, Event.RESULT, frame_id=result.frame_id)
        assert self.welcome is not None
        if result.frame_id not in self.in_flight:
            msg = f"a result came for frame {result.frame_id}, which is not in flight"
            raise ProtocolError(msg, frame_id=result.frame_id)
        _check_pixels(
            size=result.size,
            pixel_format=result.pixel_format,
            stride=result.stride,
            expected=(self.welcome.upscaled, self.welcome.pixel_format),
            frame_id=result.frame_id,
        )
        pixels = memoryview(rest[0] if rest else b"").cast("B")
        if len(rest) != 1 or len(pixels) != result.stride * result.size.height:
            msg = f"the result of frame {result.frame_id} does not hold the pixels it announces"
            raise ProtocolError(msg, code=ErrorCode.PIXELS_MISMATCH, frame_id=result.frame_id)
        self.state = state
        self.in_flight.discard(result.frame_id)
        return ReceivedResult(result=result, pixels=pixels)

    def _receive_failure(self, failure: Failure, rest: Sequence[Bytes]) -> ServiceError:
        sentence = bytes(rest[0]).decode(errors="replace") if rest else "no reason given"
        if self.state is State.OPENING and failure.frame_id == 0:
            self.state = _next_state(self.state, Event.REFUSED)
        self.in_flight.discard(failure.frame_id)
        known = failure.code in ErrorCode.__members__.values()
        code = ErrorCode(failure.code) if known else ErrorCode.INTERNAL
        return ServiceError(sentence, code=code, frame_id=failure.frame_id)


def failure_to_send(failure: Failure, sentence: str) -> list[bytes]:
    """Return both parts of an ERROR."""
    return [encode(failure), sentence.encode()[:MAX_SENTENCE_BYTES]]


def failure_of(error: Exception, *, frame_id: int = 0) -> tuple[Failure, str]:
    """Put an exception into the words of the wire; what is not ours is INTERNAL."""
    code = getattr(error, "code", ErrorCode.INTERNAL)
    identity = getattr(error, "frame_id", 0) or frame_id
    return Failure(code=code, frame_id=identity), str(error) or type(error).__name__


def max_stride(row_bytes: int) -> int:
    """Longest stride for rows of `row_bytes`: rows may be padded, memory may not be wasted."""
    return 2 * row_bytes + 256


def _check_pixels(
    *,
    size: Size,
    pixel_format: PixelFormat,
    stride: int,
    expected: tuple[Size, PixelFormat],
    frame_id: int,
) -> None:
    """Check geometry before any product of untrusted numbers sizes an allocation."""
    if (size, pixel_format) != expected:
        msg = (
            f"frame {frame_id} is {size} {pixel_format.label}, but the session is "
            f"{expected[0]} {expected[1].label}"
        )
    elif not (row := size.width * pixel_format.channels) <= stride <= max_stride(row):
        msg = (
            f"frame {frame_id} has a stride of {stride} bytes; for rows of {size.width} pixels "
            f"{pixel_format.label} it may be {row} to {max_stride(row)}"
        )
    else:
        return
    raise ProtocolError(msg, code=ErrorCode.PIXELS_MISMATCH, frame_id=frame_id)
