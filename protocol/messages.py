"""Every message, byte by byte.

A message is one fixed-size little-endian header as the first ZeroMQ part. Some carry a second
part: FRAME and RESULT the pixels, when they travel inline, ERROR its sentence, LOAD the model's
name or file and REPORT its JSON, all three in UTF-8. Every header starts with the same 16 bytes:

    0  4  magic "UPSC"
    4  1  major version: another one is refused
    5  1  minor version: a newer one may append fields, which an older reader skips
    6  1  kind of message
    7  1  zero
    8  4  size of the whole header in bytes
    12 4  zero

The `layout` of each message lists its remaining fields in order; `SPEC.md` and `c/upscaler.h`
beside this file say the same in words and in C. Times are nanoseconds on the machine's monotonic
clock, 0 if unknown.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from fractions import Fraction
from typing import ClassVar

import msgspec

from protocol.errors import ErrorCode, ProtocolError
from protocol.frames import PixelFormat, Size
from protocol.wire import (
    BOOL,
    F32,
    PIXEL_FORMAT,
    SCALE,
    SIZE,
    U16,
    U32,
    U64,
    Layout,
    member,
    padding,
    text,
)

MAGIC = b"UPSC"
MAJOR, MINOR = 1, 0
INLINE_SLOT = 0xFFFF
"""Slot number of a frame whose pixels are the message's second part."""

Bytes = bytes | bytearray | memoryview

_PREFIX = struct.Struct("<4sBBBBII")


class Kind(IntEnum):
    """Kind of a message. Numbers are never reused."""

    HELLO = 1
    WELCOME = 2
    FRAME = 3
    RESULT = 4
    ERROR = 5
    KEEPALIVE = 6
    BYE = 7
    QUERY = 8
    LOAD = 9
    REPORT = 10


class Transport(IntEnum):
    """Where pixels travel."""

    INLINE = 1
    SHARED_MEMORY = 2


class Delivery(IntEnum):
    """What happens when frames come faster than they are upscaled.

    LATEST: a frame that waits is dropped when a newer one of its client comes. EVERY: none is
    dropped, and the client waits for credits.
    """

    LATEST = 1
    EVERY = 2


class Outcome(IntEnum):
    """What became of a frame: by the session's method, not at all, or by its fallback."""

    UPSCALED = 1
    DROPPED = 2
    FALLBACK = 3


_TRANSPORT = member(Transport, ErrorCode.UNSUPPORTED_TRANSPORT)
_DELIVERY = member(Delivery, ErrorCode.BAD_OPTION)
_OUTCOME = member(Outcome, ErrorCode.MALFORMED)


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Client to service: opens a session for frames of one size, format, scale and method.

    `credits` is the number of frames that the client wants in flight: from 3 on, one can run, one
    wait and a third come to replace it. An empty `method` asks for
    the service's default; a filter's may carry options, as in "fsr1:limiter=1.0,denoise".
    `sharpness_stops` concerns FSR1 where they do not say it: 0 is sharpest. `scale` is 3/2, 2, 3 or
    4 for networks, and any ratio from 1 to 4 for filters. `fallback` is what happens to a frame
    that would miss its deadline: a filter upscales it ("fsr1"), it is dropped ("drop"), or, when
    empty, it is upscaled late.
    """

    kind: ClassVar[Kind] = Kind.HELLO
    layout: ClassVar[Layout] = Layout(
        ("size", SIZE),
        ("scale", SCALE),
        ("pixel_format", PIXEL_FORMAT),
        ("transport", _TRANSPORT),
        ("delivery", _DELIVERY),
        ("", padding(1)),
        ("credits", U16),
        ("", padding(2)),
        ("sharpness_stops", F32),
        ("method", text(96)),
        ("fallback", text(96)),
        ("client", text(32)),
    )

    size: Size
    scale: Fraction
    pixel_format: PixelFormat
    method: str = ""
    fallback: str = ""
    transport: Transport = Transport.INLINE
    delivery: Delivery = Delivery.LATEST
    credits: int = 3
    sharpness_stops: float = 0.2
    client: str = ""


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """Service to client: the session is open; says what will run and how many frames may fly.

    `slot_count`, `slot_bytes`, `result_slot_bytes` and `segment` describe shared memory, see
    `protocol.slots`, and are zero or empty when pixels travel inline.
    """

    kind: ClassVar[Kind] = Kind.WELCOME
    layout: ClassVar[Layout] = Layout(
        ("upscaled", SIZE),
        ("credits", U16),
        ("transport", _TRANSPORT),
        ("delivery", _DELIVERY),
        ("pixel_format", PIXEL_FORMAT),
        ("emulated", BOOL),
        ("slot_count", U16),
        ("slot_bytes", U64),
        ("result_slot_bytes", U64),
        ("method", text(32)),
        ("engine", text(32)),
        ("device", text(64)),
        ("segment", text(64)),
    )

    upscaled: Size
    credits: int
    pixel_format: PixelFormat
    method: str
    engine: str
    device: str
    emulated: bool
    transport: Transport = Transport.INLINE
    delivery: Delivery = Delivery.LATEST
    slot_count: int = 0
    slot_bytes: int = 0
    result_slot_bytes: int = 0
    segment: str = ""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Client to service: one frame. Inline pixels follow as the second part, others lie in `slot`.

    `frame_id` starts at 1 and grows. `stride` is the distance between rows in bytes.
    `deadline_ns` is when the frame should be finished, on the clock of `submitted_ns` and after
    it, or 0 for none.
    """

    kind: ClassVar[Kind] = Kind.FRAME
    layout: ClassVar[Layout] = Layout(
        ("frame_id", U64),
        ("submitted_ns", U64),
        ("deadline_ns", U64),
        ("size", SIZE),
        ("stride", U32),
        ("slot", U16),
        ("pixel_format", PIXEL_FORMAT),
        ("", padding(1)),
    )

    frame_id: int
    size: Size
    stride: int
    pixel_format: PixelFormat
    slot: int = INLINE_SLOT
    submitted_ns: int = 0
    deadline_ns: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Service to client: one frame is done. Inline pixels follow as the second part.

    Carries a time for every stage: the frame was submitted by the client, received by the service,
    started and finished by the upscaler, and returned to the transport. `deadline_ns` is the
    frame's. One that was dropped has no pixels, and started and finished at 0.
    """

    kind: ClassVar[Kind] = Kind.RESULT
    layout: ClassVar[Layout] = Layout(
        ("frame_id", U64),
        ("submitted_ns", U64),
        ("received_ns", U64),
        ("started_ns", U64),
        ("finished_ns", U64),
        ("returned_ns", U64),
        ("deadline_ns", U64),
        ("size", SIZE),
        ("stride", U32),
        ("slot", U16),
        ("pixel_format", PIXEL_FORMAT),
        ("outcome", _OUTCOME),
    )

    frame_id: int
    size: Size
    stride: int
    pixel_format: PixelFormat
    slot: int = INLINE_SLOT
    outcome: Outcome = Outcome.UPSCALED
    submitted_ns: int = 0
    received_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    returned_ns: int = 0
    deadline_ns: int = 0


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Service to client: an error. Its sentence follows as the second part.

    `frame_id` is 0 when it concerns no frame.
    """

    kind: ClassVar[Kind] = Kind.ERROR
    layout: ClassVar[Layout] = Layout(("frame_id", U64), ("code", U16), ("", padding(6)))

    code: int
    frame_id: int = 0


class Keepalive(msgspec.Struct, frozen=True, kw_only=True):
    """Either way: nothing to say, still here. Needs no answer."""

    kind: ClassVar[Kind] = Kind.KEEPALIVE
    layout: ClassVar[Layout] = Layout()


class Bye(msgspec.Struct, frozen=True, kw_only=True):
    """Either way: the session is over. Needs no answer."""

    kind: ClassVar[Kind] = Kind.BYE
    layout: ClassVar[Layout] = Layout()


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """To the service, with or without a session: answered with REPORT."""

    kind: ClassVar[Kind] = Kind.QUERY
    layout: ClassVar[Layout] = Layout()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """To the service, with or without a session: replace a model between two frames.

    The second part names a shipped model or a file. `token` is what the service wrote for its
    owner alone when it started. Answered with REPORT when the model is in place, or ERROR.
    """

    kind: ClassVar[Kind] = Kind.LOAD
    layout: ClassVar[Layout] = Layout(("token", text(64)))

    token: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """From the service: what runs for whom, and how fast, as JSON in the second part."""

    kind: ClassVar[Kind] = Kind.REPORT
    layout: ClassVar[Layout] = Layout()


Message = Hello | Welcome | Frame | Result | Failure | Keepalive | Bye | Query | Load | Report

_MESSAGES: dict[int, type[Message]] = {
    message.kind: message
    for message in (
        Hello,
        Welcome,
        Frame,
        Result,
        Failure,
        Keepalive,
        Bye,
        Query,
        Load,
        Report,
    )
}


def _prefix(message_type: type[Message]) -> bytes:
    size = _PREFIX.size + message_type.layout.size
    return _PREFIX.pack(MAGIC, MAJOR, MINOR, message_type.kind, 0, size, 0)


_ENCODERS = {each: each.layout.packer(_prefix(each)) for each in _MESSAGES.values()}
_DECODERS = {each: each.layout.unpacker(each, _PREFIX.size) for each in _MESSAGES.values()}
_BY_PREFIX = {_prefix(each): each for each in _MESSAGES.values()}


def encode(message: Message) -> bytes:
    """Return the header of a message."""
    return _ENCODERS[type(message)](message)


def decode(header: Bytes) -> Message:
    """Return the message in a header.

    Raises ProtocolError: UNSUPPORTED_VERSION for another major version, MALFORMED for anything
    else that is no header of this protocol, and the code of the field for an unknown value.
    """
    # Nearly every header begins just as this side's own do, and says its true size.
    message_type = _BY_PREFIX.get(bytes(header[: _PREFIX.size]))
    if message_type is None or len(header) != _PREFIX.size + message_type.layout.size:
        message_type = _checked_type(memoryview(header).cast("B"))
    message: Message = _DECODERS[message_type](header)
    return message


def _checked_type(view: memoryview) -> type[Message]:
    if len(view) < _PREFIX.size or view[:4] != MAGIC:
        msg = f"a message part of {len(view)} bytes is no header: it does not start with UPSC"
        raise ProtocolError(msg)
    _, major, minor, kind, _, size, _ = _PREFIX.unpack_from(view)
    if major != MAJOR:
        msg = (
            f"the message speaks protocol {major}.{minor} and this side {MAJOR}.{MINOR}; "
            "install the same major version on both sides"
        )
        raise ProtocolError(msg, code=ErrorCode.UNSUPPORTED_VERSION)
    message_type = _MESSAGES.get(kind)
    if message_type is None:
        msg = f"unknown kind of message {kind}"
        raise ProtocolError(msg)
    needed = _PREFIX.size + message_type.layout.size
    longer_allowed = minor > MINOR
    if len(view) != size or size < needed or (size > needed and not longer_allowed):
        msg = (
            f"a {message_type.kind.name} header has {needed} bytes, but {len(view)} came and "
            f"its size field says {size}"
        )
        raise ProtocolError(msg)
    return message_type
