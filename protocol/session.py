"""A session as both sides see it: pure state machines, without sockets or clocks.

The states and what moves them: `protocol.states`. Whose a slot of shared memory is:
`protocol.slots`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from protocol.errors import ErrorCode, ProtocolError, ServiceError
from protocol.frames import upscaled_size
from protocol.geometry import Geometry
from protocol.messages import (
    INLINE_SLOT,
    Bye,
    Bytes,
    Failure,
    Frame,
    Hello,
    Keepalive,
    Load,
    Outcome,
    Query,
    Report,
    Result,
    Transport,
    Welcome,
    decode,
    encode,
)
from protocol.states import Event, State, next_state

MAX_CREDITS = 8
"""Most frames that a client may have in flight."""
MAX_SENTENCE_BYTES = 4096


class ReceivedFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that passed every check.

    `pixels` holds `stride * height` bytes; None means that they lie in the frame's slot.
    """

    frame: Frame
    pixels: memoryview | None


class ReceivedLoad(msgspec.Struct, frozen=True, kw_only=True):
    """A request to load `model`, a name or a file, from whoever knows `token`."""

    token: str
    model: str


class ServiceSession:
    """The service's side of one client. `in_flight` has the slot of each frame, by its id."""

    def __init__(self) -> None:
        self.state = State.NEW
        self.hello: Hello | None = None
        self.welcome: Welcome | None = None
        self.in_flight: dict[int, int] = {}
        self._frames: Geometry | None = None
        self._last_frame_id = 0

    def receive_message(
        self, parts: Sequence[Bytes]
    ) -> Hello | ReceivedFrame | Keepalive | Bye | Query | ReceivedLoad:
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
        if isinstance(message, Load):
            return _received_load(message, parts[1:])
        if len(parts) > 1:
            msg = f"{message.kind.name} has no second part"
            raise ProtocolError(msg)
        if isinstance(message, Hello):
            state = next_state(self.state, Event.HELLO)
            if not 1 <= message.credits <= MAX_CREDITS:
                msg = (
                    f"{message.credits} frames in flight were asked for; choose 1 to {MAX_CREDITS}"
                )
                raise ProtocolError(msg, code=ErrorCode.BAD_OPTION)
            self.state, self.hello = state, message
            return message
        if isinstance(message, Bye):
            self.state = next_state(self.state, Event.BYE)
            return message
        if isinstance(message, Keepalive | Query):
            return message
        msg = f"{message.kind.name} is a message of the service, not of a client"
        raise ProtocolError(msg, code=ErrorCode.UNEXPECTED_MESSAGE)

    def welcome_to_send(self, welcome: Welcome) -> list[bytes]:
        """Open the session."""
        self.state = next_state(self.state, Event.WELCOME)
        assert self.hello is not None
        self.welcome = welcome
        self._frames = Geometry(self.hello.size, self.hello.pixel_format)
        return [encode(welcome)]

    def refusal_to_send(self, error: Failure, sentence: str) -> list[bytes]:
        """Refuse what HELLO asked for; the client may ask again."""
        self.state = next_state(self.state, Event.REFUSED)
        return failure_to_send(error, sentence)

    def result_to_send(self, result: Result) -> bytes:
        """Return the header of a result; its credit and its slot are the client's again."""
        self.state = next_state(self.state, Event.RESULT)
        self.in_flight.pop(result.frame_id, None)
        return encode(result)

    def frame_failure_to_send(self, error: Failure, sentence: str) -> list[bytes]:
        """Answer a frame with an error; its credit and its slot are the client's again."""
        self.in_flight.pop(error.frame_id, None)
        return failure_to_send(error, sentence)

    def _receive_frame(self, frame: Frame, rest: Sequence[Bytes]) -> ReceivedFrame:
        identity = frame.frame_id
        state = next_state(self.state, Event.FRAME, frame_id=identity)
        assert self.welcome is not None
        assert self._frames is not None
        if identity <= self._last_frame_id:
            # About no frame: this id may belong to one that is in flight and whose credit is spent.
            msg = f"frame id {identity} does not follow {self._last_frame_id}; ids must grow"
            raise ProtocolError(msg)
        if len(self.in_flight) >= self.welcome.credits:
            msg = f"{len(self.in_flight)} frames are in flight already; wait for a result first"
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_FRAMES, frame_id=identity)
        if frame.deadline_ns and frame.deadline_ns <= frame.submitted_ns:
            msg = (
                f"frame {identity} was submitted {(frame.submitted_ns - frame.deadline_ns) / 1e6:g}"
                " ms after its deadline; give one that lies ahead, or 0 for none"
            )
            raise ProtocolError(msg, code=ErrorCode.STALE_DEADLINE, frame_id=identity)
        self._frames.check(frame)
        if self.welcome.transport is Transport.SHARED_MEMORY:
            self._check_slot(frame, rest)
            pixels = None
        else:
            pixels = _inline_pixels(frame, rest)
        self.state = state
        self._last_frame_id = identity
        self.in_flight[identity] = frame.slot
        return ReceivedFrame(frame=frame, pixels=pixels)

    def _check_slot(self, frame: Frame, rest: Sequence[Bytes]) -> None:
        assert self.welcome is not None
        identity, slot, count = frame.frame_id, frame.slot, self.welcome.slot_count
        code = ErrorCode.BAD_SLOT
        if rest:
            msg = f"frame {identity} has pixels inline, but the session's are in shared memory"
            code = ErrorCode.PIXELS_MISMATCH
        elif slot >= count:
            msg = (
                f"frame {identity} names slot {slot}, which is out of range; this session has 0 "
                f"to {count - 1}"
            )
        elif slot in self.in_flight.values():
            holder = next(held for held, at in self.in_flight.items() if at == slot)
            msg = (
                f"frame {identity} names slot {slot}, which is the service's until the result of "
                f"frame {holder} has come"
            )
        elif frame.stride * frame.size.height > self.welcome.slot_bytes:
            msg = (
                f"frame {identity} has a stride of {frame.stride} bytes; the slot has room for "
                f"{self.welcome.slot_bytes // frame.size.height}"
            )
            code = ErrorCode.PIXELS_MISMATCH
        else:
            return
        raise ProtocolError(msg, code=code, frame_id=identity)


class ReceivedResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result that passed every check.

    `pixels` holds `stride * height` bytes; None means that they lie in the result's slot, or that
    the frame was dropped.
    """

    result: Result
    pixels: memoryview | None


class ClientSession:
    """The client's side. `in_flight` has the slot of each frame, by its id."""

    def __init__(self, *, last_frame_id: int = 0) -> None:
        """Frames are counted on from `last_frame_id`, that of an earlier session."""
        self.state = State.NEW
        self.hello: Hello | None = None
        self.welcome: Welcome | None = None
        self.in_flight: dict[int, int] = {}
        self._results: Geometry | None = None
        self.last_frame_id = last_frame_id

    @property
    def credits(self) -> int:
        """Frames that may be submitted now."""
        return 0 if self.welcome is None else self.welcome.credits - len(self.in_flight)

    def hello_to_send(self, hello: Hello) -> list[bytes]:
        """Ask for a session."""
        self.state = next_state(self.state, Event.HELLO)
        self.hello = hello
        return [encode(hello)]

    def frame_to_send(
        self, *, stride: int, submitted_ns: int, slot: int = INLINE_SLOT, deadline_ns: int = 0
    ) -> tuple[int, bytes]:
        """Spend a credit; return the new frame's id and its header.

        Raises ProtocolError (TOO_MANY_FRAMES) without a credit.
        """
        state = next_state(self.state, Event.FRAME)
        assert self.hello is not None
        if self.credits < 1:
            msg = f"{len(self.in_flight)} frames are in flight already; receive a result first"
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_FRAMES)
        self.state = state
        self.last_frame_id += 1
        frame = Frame(
            frame_id=self.last_frame_id,
            size=self.hello.size,
            stride=stride,
            pixel_format=self.hello.pixel_format,
            slot=slot,
            submitted_ns=submitted_ns,
            deadline_ns=deadline_ns,
        )
        self.in_flight[frame.frame_id] = slot
        return frame.frame_id, encode(frame)

    def bye_to_send(self) -> list[bytes]:
        """End the session."""
        self.state = next_state(self.state, Event.BYE)
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
            state = next_state(self.state, Event.WELCOME)
            self._check_welcome(message)
            self.state, self.welcome = state, message
            self._results = Geometry(message.upscaled, message.pixel_format)
            return message
        if isinstance(message, Result):
            return self._receive_result(message, parts[1:])
        if isinstance(message, Failure):
            return self._receive_failure(message, parts[1:])
        if isinstance(message, Bye):
            self.state = next_state(self.state, Event.BYE)
            msg = "the service has shut down"
            raise ServiceError(msg, code=ErrorCode.SHUTTING_DOWN)
        if isinstance(message, Keepalive):
            return message
        whose = "about the service" if isinstance(message, Report) else "of a client"
        msg = f"{message.kind.name} is a message {whose}, not one of a session's"
        raise ProtocolError(msg, code=ErrorCode.UNEXPECTED_MESSAGE)

    def _check_welcome(self, welcome: Welcome) -> None:
        hello = self.hello
        assert hello is not None
        asked = (upscaled_size(hello.size, hello.scale), hello.pixel_format, hello.transport)
        if (welcome.upscaled, welcome.pixel_format, welcome.transport) != asked:
            msg = (
                f"the service opened a session for {welcome.upscaled} "
                f"{welcome.pixel_format.label}, {welcome.transport.name.lower()}, and was asked "
                f"for {asked[0]} {asked[1].label}, {asked[2].name.lower()}"
            )
            raise ProtocolError(msg)

    def _receive_result(self, result: Result, rest: Sequence[Bytes]) -> ReceivedResult:
        identity = result.frame_id
        state = next_state(self.state, Event.RESULT, frame_id=identity)
        assert self.welcome is not None
        assert self._results is not None
        if identity not in self.in_flight:
            msg = f"a result came for frame {identity}, which is not in flight"
            raise ProtocolError(msg, frame_id=identity)
        if result.slot != self.in_flight[identity]:
            msg = (
                f"the result of frame {identity} names slot {result.slot}, but the frame was in "
                f"{self.in_flight[identity]}"
            )
            raise ProtocolError(msg, code=ErrorCode.BAD_SLOT, frame_id=identity)
        self._results.check(result)
        dropped = result.outcome is Outcome.DROPPED
        if dropped or self.welcome.transport is Transport.SHARED_MEMORY:
            if rest:
                msg = f"the result of frame {identity} has pixels inline, where none belong"
                raise ProtocolError(msg, code=ErrorCode.PIXELS_MISMATCH, frame_id=identity)
            if result.stride * result.size.height > self.welcome.result_slot_bytes and not dropped:
                msg = f"the result of frame {identity} is larger than its slot"
                raise ProtocolError(msg, code=ErrorCode.PIXELS_MISMATCH, frame_id=identity)
            pixels = None
        else:
            pixels = _inline_pixels(result, rest)
        self.state = state
        del self.in_flight[identity]
        return ReceivedResult(result=result, pixels=pixels)

    def _receive_failure(self, failure: Failure, rest: Sequence[Bytes]) -> ServiceError:
        sentence = bytes(rest[0]).decode(errors="replace") if rest else "no reason given"
        if self.state is State.OPENING and failure.frame_id == 0:
            self.state = next_state(self.state, Event.REFUSED)
        self.in_flight.pop(failure.frame_id, None)
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


def _received_load(load: Load, rest: Sequence[Bytes]) -> ReceivedLoad:
    if len(rest) != 1 or not 0 < len(rest[0]) <= MAX_SENTENCE_BYTES:
        msg = f"LOAD needs the model's name or file as its second part, {MAX_SENTENCE_BYTES} bytes"
        raise ProtocolError(msg)
    try:
        return ReceivedLoad(token=load.token, model=bytes(rest[0]).decode())
    except UnicodeDecodeError as error:
        msg = "the second part of LOAD is not UTF-8"
        raise ProtocolError(msg) from error


def _inline_pixels(message: Frame | Result, rest: Sequence[Bytes]) -> memoryview:
    identity, code = message.frame_id, ErrorCode.PIXELS_MISMATCH
    if message.slot != INLINE_SLOT or len(rest) != 1:
        msg = f"the session is inline: a frame needs slot {INLINE_SLOT} and one part of pixels"
        raise ProtocolError(msg, code=code, frame_id=identity)
    pixels = memoryview(rest[0]).cast("B")
    needed = message.stride * message.size.height
    if len(pixels) != needed:
        msg = (
            f"{message.kind.name} {identity} has {len(pixels)} bytes of pixels where its header "
            f"says {message.stride} x {message.size.height} = {needed}"
        )
        raise ProtocolError(msg, code=code, frame_id=identity)
    return pixels
