"""Literal bytes, both ways, and everything that is no message."""

from __future__ import annotations

import struct
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, ProtocolError
from protocol.frames import PixelFormat, Size
from protocol.messages import (
    Bye,
    Delivery,
    Failure,
    Frame,
    Hello,
    Keepalive,
    Load,
    Message,
    Outcome,
    Query,
    Report,
    Result,
    Transport,
    Welcome,
    decode,
    encode,
)

HELLO = Hello(
    size=Size(960, 540),
    scale=Fraction(3, 2),
    pixel_format=PixelFormat.RGBA8,
    method="fsr1",
    fallback="drop",
    delivery=Delivery.EVERY,
    credits=3,
    sharpness_stops=0.25,
    client="c-game",
)
LITERAL = {
    "hello": (
        HELLO,
        "55505343 01 00 01 00 08010000 00000000"
        "c0030000 1c020000 0300 0200 03 01 02 00 0300 0000 0000803e"
        "66737231" + 92 * "00" + "64726f70" + 92 * "00" + "632d67616d65" + 26 * "00",
    ),
    "frame": (
        Frame(
            frame_id=7,
            size=Size(2, 1),
            stride=8,
            pixel_format=PixelFormat.BGRA8,
            submitted_ns=0x0102030405060708,
            deadline_ns=9,
        ),
        "55505343 01 00 03 00 38000000 00000000"
        + "0700000000000000 0807060504030201 0900000000000000"
        + "02000000 01000000 08000000 ffff 04 00",
    ),
    "result": (
        Result(
            frame_id=7,
            size=Size(4, 2),
            stride=12,
            pixel_format=PixelFormat.RGB8,
            outcome=Outcome.FALLBACK,
            submitted_ns=1,
            received_ns=2,
            started_ns=3,
            finished_ns=4,
            returned_ns=5,
            deadline_ns=6,
        ),
        "55505343 01 00 04 00 58000000 00000000 0700000000000000"
        + "0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000"
        + "0600000000000000"
        + "04000000 02000000 0c000000 ffff 01 03",
    ),
    "error": (
        Failure(code=ErrorCode.TOO_MANY_FRAMES, frame_id=258),
        "55505343 01 00 05 00 20000000 00000000 0201000000000000 0c00 000000000000",
    ),
    "keepalive": (Keepalive(), "55505343 01 00 06 00 10000000 00000000"),
    "bye": (Bye(), "55505343 01 00 07 00 10000000 00000000"),
    "query": (Query(), "55505343 01 00 08 00 10000000 00000000"),
    "load": (Load(token="ab"), "55505343 01 00 09 00 50000000 00000000 6162" + 62 * "00"),
    "report": (Report(), "55505343 01 00 0a 00 10000000 00000000"),
}


@pytest.mark.parametrize("name", LITERAL)
def test_literal_bytes(name: str) -> None:
    message, text = LITERAL[name]
    literal = bytes.fromhex(text)
    assert encode(message) == literal
    assert decode(literal) == message


def test_welcome_has_its_documented_size_and_survives_the_wire() -> None:
    welcome = Welcome(
        upscaled=Size(1920, 1080),
        credits=2,
        pixel_format=PixelFormat.BGR8,
        method="quicksrnet-small",
        engine="npu",
        device="Hexagon",
        emulated=True,
        slot_count=4,
        slot_bytes=1 << 40,
        segment="upscaler-x",
    )
    assert len(encode(welcome)) == 240
    assert decode(encode(welcome)) == welcome


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
sizes = st.builds(Size, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
u64 = st.integers(0, 2**64 - 1)
messages = st.one_of(
    st.builds(
        Hello,
        size=sizes,
        scale=st.builds(Fraction, st.integers(0, 2**16 - 1), st.integers(1, 2**16 - 1)),
        pixel_format=st.sampled_from(PixelFormat),
        method=names,
        transport=st.sampled_from(Transport),
        delivery=st.sampled_from(Delivery),
        credits=st.integers(0, 2**16 - 1),
        sharpness_stops=st.floats(width=32, allow_nan=False),
        client=names,
    ),
    st.builds(
        Frame,
        frame_id=u64,
        size=sizes,
        stride=st.integers(0, 2**32 - 1),
        pixel_format=st.sampled_from(PixelFormat),
        slot=st.integers(0, 2**16 - 1),
        submitted_ns=u64,
        deadline_ns=u64,
    ),
    st.builds(Failure, code=st.integers(0, 2**16 - 1), frame_id=u64),
)


@given(messages)
def test_round_trip(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_random_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


@given(messages, st.integers(0, 103), st.integers(0, 255))
def test_a_damaged_header_decodes_or_is_a_protocol_error(
    message: Message, position: int, value: int
) -> None:
    damaged = bytearray(encode(message))
    damaged[position % len(damaged)] = value
    with suppress(ProtocolError):
        decode(damaged)


def test_another_major_version_is_refused_by_name() -> None:
    header = bytearray(encode(HELLO))
    header[4] = 2
    with pytest.raises(ProtocolError, match=r"protocol 2\.0 and this side 1\.0") as caught:
        decode(header)
    assert caught.value.code is ErrorCode.UNSUPPORTED_VERSION


def test_a_newer_minor_version_may_append_fields() -> None:
    header = bytearray(encode(HELLO)) + b"new field"
    header[5] = 1
    struct.pack_into("<I", header, 8, len(header))
    assert decode(header) == HELLO


def test_this_version_may_not_append_fields() -> None:
    header = bytearray(encode(HELLO)) + b"new field"
    struct.pack_into("<I", header, 8, len(header))
    with pytest.raises(ProtocolError, match="HELLO header has 264 bytes, but 273 came"):
        decode(header)


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [
        (6, 99, ErrorCode.MALFORMED),
        (28, 77, ErrorCode.UNSUPPORTED_FORMAT),
        (29, 9, ErrorCode.UNSUPPORTED_TRANSPORT),
        (30, 9, ErrorCode.BAD_OPTION),
        (40, 255, ErrorCode.MALFORMED),
    ],
)
def test_an_unknown_value_names_its_field(offset: int, value: int, code: ErrorCode) -> None:
    header = bytearray(encode(HELLO))
    header[offset] = value
    with pytest.raises(ProtocolError) as caught:
        decode(header)
    assert caught.value.code is code


def test_a_scale_over_zero_is_no_number() -> None:
    header = bytearray(encode(HELLO))
    struct.pack_into("<HH", header, 24, 2, 0)
    with pytest.raises(ProtocolError, match="2/0 is no number"):
        decode(header)
