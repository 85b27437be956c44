"""Both state machines, talking to each other without a socket."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, ProtocolError, ServiceError
from protocol.frames import PixelFormat, Size
from protocol.messages import (
    Bye,
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
from protocol.session import (
    TRANSITIONS,
    ClientSession,
    Event,
    ReceivedFrame,
    ReceivedResult,
    ServiceSession,
    State,
    failure_of,
    failure_to_send,
)

HELLO = Hello(
    size=Size(4, 2), scale=Fraction(2), pixel_format=PixelFormat.RGB8, sharpness_stops=0.25
)
WELCOME = Welcome(
    upscaled=Size(8, 4),
    credits=2,
    pixel_format=PixelFormat.RGB8,
    method="nearest",
    engine="opencv",
    device="CPU",
    emulated=False,
)
PIXELS = bytes(range(24))


def opened() -> tuple[ClientSession, ServiceSession]:
    client, service = ClientSession(), ServiceSession()
    assert service.receive_message(client.hello_to_send(HELLO)) == HELLO
    assert client.receive_message(service.welcome_to_send(WELCOME)) == WELCOME
    return client, service


def frame(**changes: object) -> Frame:
    made = Frame(frame_id=1, size=HELLO.size, stride=12, pixel_format=PixelFormat.RGB8)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_frame_goes_there_and_back() -> None:
    client, service = opened()
    frame_id, header = client.frame_to_send(stride=12, submitted_ns=5)
    received = service.receive_message([header, PIXELS])
    assert isinstance(received, ReceivedFrame)
    assert (received.frame.frame_id, bytes(received.pixels)) == (frame_id, PIXELS)
    assert service.in_flight == client.in_flight == {frame_id}
    result = Result(
        frame_id=frame_id, size=WELCOME.upscaled, stride=24, pixel_format=PixelFormat.RGB8
    )
    returned = client.receive_message([service.result_to_send(result), bytes(96)])
    assert isinstance(returned, ReceivedResult)
    assert service.in_flight == client.in_flight == set()
    assert isinstance(service.receive_message(client.bye_to_send()), Bye)
    assert service.state is client.state is State.CLOSED


def test_the_table_is_all_there_is() -> None:
    legal = {
        Event.HELLO: {State.NEW},
        Event.FRAME: {State.OPEN},
        Event.BYE: {State.NEW, State.OPENING, State.OPEN},
    }
    sent = {
        Event.HELLO: [encode(HELLO)],
        Event.FRAME: [encode(frame()), PIXELS],
        Event.BYE: [encode(Bye())],
    }
    for state, event in product(State, sent):
        service = ServiceSession()
        service.state, service.hello, service.welcome = state, HELLO, WELCOME
        if state in legal[event]:
            assert (state, event) in TRANSITIONS
            service.receive_message(sent[event])
            assert service.state is TRANSITIONS[state, event]
        else:
            with pytest.raises(ProtocolError) as caught:
                service.receive_message(sent[event])
            assert caught.value.code is ErrorCode.UNEXPECTED_MESSAGE
            assert service.state is state


def test_a_refused_client_may_ask_again() -> None:
    client, service = ClientSession(), ServiceSession()
    service.receive_message(client.hello_to_send(HELLO))
    failure = Failure(code=ErrorCode.UNKNOWN_METHOD)
    error = client.receive_message(service.refusal_to_send(failure, "no such method"))
    assert isinstance(error, ServiceError)
    assert (error.code, str(error)) == (ErrorCode.UNKNOWN_METHOD, "no such method")
    assert service.state is client.state is State.NEW
    service.receive_message(client.hello_to_send(HELLO))


def test_credits_are_spent_and_given_back() -> None:
    client, service = opened()
    for _ in range(2):
        service.receive_message([client.frame_to_send(stride=12, submitted_ns=0)[1], PIXELS])
    assert client.credits == 0
    with pytest.raises(ProtocolError, match="2 frames are in flight already"):
        client.frame_to_send(stride=12, submitted_ns=0)
    with pytest.raises(ProtocolError) as caught:
        service.receive_message([encode(frame(frame_id=3)), PIXELS])
    assert (caught.value.code, caught.value.frame_id) == (ErrorCode.TOO_MANY_FRAMES, 3)
    failed = service.frame_failure_to_send(Failure(code=ErrorCode.INTERNAL, frame_id=1), "broke")
    error = client.receive_message(failed)
    assert isinstance(error, ServiceError)
    assert error.frame_id == 1
    assert client.credits == 1
    assert service.in_flight == {2}


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([encode(frame(frame_id=0)), PIXELS], ErrorCode.MALFORMED),
        ([encode(frame(size=Size(2, 4), stride=6)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(pixel_format=PixelFormat.BGR8)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(stride=11)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(stride=2**32 - 1)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(slot=0)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame()), PIXELS[:-1]], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame()), PIXELS + b"!"], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame())], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame()), PIXELS, b""], ErrorCode.PIXELS_MISMATCH),
        ([encode(Keepalive()), b"more"], ErrorCode.MALFORMED),
        ([encode(WELCOME)], ErrorCode.UNEXPECTED_MESSAGE),
        ([b"", b""], ErrorCode.MALFORMED),
        ([], ErrorCode.MALFORMED),
    ],
)
def test_a_bad_message_changes_nothing(parts: list[bytes], code: ErrorCode) -> None:
    _, service = opened()
    with pytest.raises(ProtocolError) as caught:
        service.receive_message(parts)
    assert caught.value.code is code
    assert service.state is State.OPEN
    assert not service.in_flight
    service.receive_message([encode(frame()), PIXELS])


def test_rows_may_be_padded() -> None:
    _, service = opened()
    received = service.receive_message([encode(frame(stride=16)), bytes(32)])
    assert isinstance(received, ReceivedFrame)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (replace(HELLO, transport=Transport.SHARED_MEMORY), ErrorCode.UNSUPPORTED_TRANSPORT),
        (replace(HELLO, delivery=Delivery.LATEST), ErrorCode.BAD_OPTION),
        (replace(HELLO, credits=0), ErrorCode.BAD_OPTION),
        (replace(HELLO, credits=9), ErrorCode.BAD_OPTION),
    ],
)
def test_what_the_service_cannot_do_is_refused(hello: Hello, code: ErrorCode) -> None:
    service = ServiceSession()
    with pytest.raises(ProtocolError) as caught:
        service.receive_message([encode(hello)])
    assert caught.value.code is code
    assert service.state is State.NEW


@pytest.mark.parametrize(
    "parts",
    [
        [encode(Result(frame_id=9, size=WELCOME.upscaled, stride=24, pixel_format=1)), bytes(96)],  # type: ignore[arg-type]
        [encode(Result(frame_id=1, size=Size(4, 4), stride=24, pixel_format=1)), bytes(96)],  # type: ignore[arg-type]
        [encode(Result(frame_id=1, size=WELCOME.upscaled, stride=24, pixel_format=1)), bytes(95)],  # type: ignore[arg-type]
        [encode(Result(frame_id=1, size=WELCOME.upscaled, stride=24, pixel_format=1))],  # type: ignore[arg-type]
        [encode(HELLO)],
        [b"noise"],
    ],
)
def test_a_client_believes_no_false_service(parts: list[bytes]) -> None:
    client, _ = opened()
    client.frame_to_send(stride=12, submitted_ns=0)
    with pytest.raises(ProtocolError):
        client.receive_message(parts)


def test_a_service_that_says_bye_ends_the_session() -> None:
    client, _ = opened()
    with pytest.raises(ServiceError, match="shut down") as caught:
        client.receive_message([encode(Bye())])
    assert caught.value.code is ErrorCode.SHUTTING_DOWN
    assert client.state is State.CLOSED


def test_errors_keep_their_code_and_frame_on_the_wire() -> None:
    error = ProtocolError("bad", code=ErrorCode.PIXELS_MISMATCH, frame_id=4)
    header, sentence = failure_to_send(*failure_of(error))
    assert decode(header) == Failure(code=ErrorCode.PIXELS_MISMATCH, frame_id=4)
    assert sentence == b"bad"
    foreign, text = failure_of(RuntimeError(), frame_id=2)
    assert (foreign.code, foreign.frame_id, text) == (ErrorCode.INTERNAL, 2, "RuntimeError")


@given(st.lists(st.binary(max_size=120), max_size=3))
def test_random_parts_never_break_a_session(parts: list[bytes]) -> None:
    _, service = opened()
    with pytest.raises(ProtocolError):
        service.receive_message(parts)
    assert service.state is State.OPEN
