"""Both state machines, talking to each other without a socket."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.errors import ErrorCode, ProtocolError, ServiceError
from protocol.frames import PixelFormat, Size
from protocol.messages import (
    Bye,
    Delivery,
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
from protocol.session import (
    ClientSession,
    ReceivedFrame,
    ReceivedLoad,
    ReceivedResult,
    ServiceSession,
    failure_of,
    failure_to_send,
)
from protocol.states import TRANSITIONS, Event, State

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
SHARED = replace(
    WELCOME,
    transport=Transport.SHARED_MEMORY,
    slot_count=4,
    slot_bytes=64,
    result_slot_bytes=128,
    segment="upscaler-1",
)
PIXELS = bytes(range(24))


def opened(welcome: Welcome = WELCOME) -> tuple[ClientSession, ServiceSession]:
    client, service = ClientSession(), ServiceSession()
    hello = replace(HELLO, transport=welcome.transport)
    assert service.receive_message(client.hello_to_send(hello)) == hello
    assert client.receive_message(service.welcome_to_send(welcome)) == welcome
    return client, service


def frame(**changes: object) -> Frame:
    made = Frame(frame_id=1, size=HELLO.size, stride=12, pixel_format=PixelFormat.RGB8)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_frame_goes_there_and_back() -> None:
    client, service = opened()
    frame_id, header = client.frame_to_send(stride=12, submitted_ns=5)
    received = service.receive_message([header, PIXELS])
    assert isinstance(received, ReceivedFrame)
    assert received.pixels is not None
    assert (received.frame.frame_id, bytes(received.pixels)) == (frame_id, PIXELS)
    assert list(service.in_flight) == list(client.in_flight) == [frame_id]
    result = Result(
        frame_id=frame_id, size=WELCOME.upscaled, stride=24, pixel_format=PixelFormat.RGB8
    )
    returned = client.receive_message([service.result_to_send(result), bytes(96)])
    assert isinstance(returned, ReceivedResult)
    assert service.in_flight == client.in_flight == {}
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
        service.receive_message([encode(HELLO)])
        service.welcome_to_send(WELCOME)
        service.state = state
        if state in legal[event]:
            assert (state, event) in TRANSITIONS
            service.receive_message(sent[event])
            assert service.state is TRANSITIONS[state, event]
        else:
            with pytest.raises(ProtocolError) as caught:
                service.receive_message(sent[event])
            assert caught.value.code is ErrorCode.UNEXPECTED_MESSAGE
            assert service.state is state


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("transport", Transport)
def test_hello_chooses_transport_and_delivery(transport: Transport, delivery: Delivery) -> None:
    service = ServiceSession()
    hello = replace(HELLO, transport=transport, delivery=delivery)
    assert service.receive_message([encode(hello)]) == hello


def result(**changes: object) -> Result:
    made = Result(
        frame_id=1,
        size=WELCOME.upscaled,
        stride=24,
        pixel_format=PixelFormat.RGB8,
        slot=2,
    )
    return replace(made, **changes)


def test_pixels_in_a_slot_need_no_second_part() -> None:
    client, service = opened(SHARED)
    frame_id, header = client.frame_to_send(stride=16, slot=2, submitted_ns=0)
    received = service.receive_message([header])
    assert isinstance(received, ReceivedFrame)
    assert received.pixels is None
    assert service.in_flight == client.in_flight == {frame_id: 2}
    returned = client.receive_message([service.result_to_send(result())])
    assert isinstance(returned, ReceivedResult)
    assert returned.pixels is None
    assert service.in_flight == client.in_flight == {}


@pytest.mark.parametrize(
    ("parts", "code", "words"),
    [
        ([encode(frame(frame_id=2, slot=4))], ErrorCode.BAD_SLOT, "slot 4, which is out of range"),
        ([encode(frame(frame_id=2, slot=0xFFFF))], ErrorCode.BAD_SLOT, "out of range"),
        ([encode(frame(frame_id=2, slot=1))], ErrorCode.BAD_SLOT, "until the result of frame 1"),
        ([encode(frame(frame_id=2, slot=0)), PIXELS], ErrorCode.PIXELS_MISMATCH, "inline"),
        ([encode(frame(frame_id=2, slot=0, stride=33))], ErrorCode.PIXELS_MISMATCH, "room for 32"),
    ],
)
def test_a_slot_that_is_not_the_clients_is_refused(
    parts: list[bytes], code: ErrorCode, words: str
) -> None:
    _, service = opened(SHARED)
    service.receive_message([encode(frame(slot=1))])
    with pytest.raises(ProtocolError, match=words) as caught:
        service.receive_message(parts)
    assert (caught.value.code, caught.value.frame_id) == (code, 2)
    assert service.in_flight == {1: 1}


@pytest.mark.parametrize(
    "parts",
    [
        [encode(result(slot=1))],
        [encode(result(stride=25, slot=2)), bytes(100)],
        [encode(result(stride=33))],
    ],
)
def test_a_client_believes_no_false_slot(parts: list[bytes]) -> None:
    client, _ = opened(SHARED)
    client.frame_to_send(stride=12, slot=2, submitted_ns=0)
    with pytest.raises(ProtocolError):
        client.receive_message(parts)
    assert client.in_flight == {1: 2}


def test_a_dropped_frame_gives_its_credit_back_without_pixels() -> None:
    client, service = opened()
    _, header = client.frame_to_send(stride=12, submitted_ns=0)
    service.receive_message([header, PIXELS])
    dropped = result(slot=0xFFFF, outcome=Outcome.DROPPED)
    returned = client.receive_message([service.result_to_send(dropped)])
    assert isinstance(returned, ReceivedResult)
    assert (returned.pixels, client.credits) == (None, 2)


def test_a_deadline_lies_ahead_of_its_frame() -> None:
    client, service = opened()
    _, header = client.frame_to_send(stride=12, submitted_ns=3_000_000, deadline_ns=2_000_000)
    with pytest.raises(ProtocolError, match="submitted 1 ms after its deadline") as caught:
        service.receive_message([header, PIXELS])
    assert (caught.value.code, caught.value.frame_id) == (ErrorCode.STALE_DEADLINE, 1)
    _, header = client.frame_to_send(stride=12, submitted_ns=3_000_000, deadline_ns=3_000_001)
    assert isinstance(service.receive_message([header, PIXELS]), ReceivedFrame)


def test_frames_are_counted_on_from_an_earlier_session() -> None:
    client = ClientSession(last_frame_id=41)
    client.hello_to_send(HELLO)
    client.receive_message([encode(WELCOME)])
    assert client.frame_to_send(stride=12, submitted_ns=0)[0] == 42


def test_questions_need_no_session_and_change_none() -> None:
    service = ServiceSession()
    assert service.receive_message([encode(Query())]) == Query()
    load = service.receive_message([encode(Load(token="secret")), b"model.onnx"])
    assert load == ReceivedLoad(token="secret", model="model.onnx")
    assert service.state is State.NEW
    for parts in ([encode(Load(token="")), b""], [encode(Load(token=""))], [encode(Query()), b"x"]):
        with pytest.raises(ProtocolError):
            service.receive_message(parts)
    with pytest.raises(ProtocolError, match="not UTF-8"):
        service.receive_message([encode(Load(token="")), b"\xff"])
    client, _ = opened()
    with pytest.raises(ProtocolError, match="about the service"):
        client.receive_message([encode(Report()), b"{}"])


def test_a_refused_client_may_ask_again() -> None:
    client, service = ClientSession(), ServiceSession()
    service.receive_message(client.hello_to_send(HELLO))
    failure = Failure(code=ErrorCode.UNKNOWN_METHOD)
    error = client.receive_message(service.refusal_to_send(failure, "no such method"))
    assert isinstance(error, ServiceError)
    assert (error.code, str(error)) == (ErrorCode.UNKNOWN_METHOD, "no such method")
    assert service.state is client.state is State.NEW
    service.receive_message(client.hello_to_send(HELLO))


@pytest.mark.parametrize(
    "changes",
    [
        {"upscaled": Size(1, 1)},
        {"pixel_format": PixelFormat.BGR8},
        {"transport": Transport.SHARED_MEMORY},
    ],
)
def test_a_welcome_answers_what_was_asked(changes: dict[str, object]) -> None:
    client = ClientSession()
    client.hello_to_send(HELLO)
    with pytest.raises(ProtocolError, match=r"the service opened a session for .* was asked for"):
        client.receive_message([encode(replace(WELCOME, **changes))])
    assert client.state is State.OPENING
    assert client.receive_message([encode(WELCOME)]) == WELCOME


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
    assert list(service.in_flight) == [2]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([encode(frame(frame_id=0)), PIXELS], ErrorCode.MALFORMED),
        ([encode(frame(size=Size(2, 4), stride=6)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(pixel_format=PixelFormat.BGR8)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(stride=11)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(stride=2**32 - 1)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(slot=0)), PIXELS], ErrorCode.PIXELS_MISMATCH),
        ([encode(frame(submitted_ns=9, deadline_ns=9)), PIXELS], ErrorCode.STALE_DEADLINE),
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
        (replace(HELLO, credits=0), ErrorCode.BAD_OPTION),
        (replace(HELLO, credits=9), ErrorCode.BAD_OPTION),
    ],
)
def test_credits_out_of_range_are_refused(hello: Hello, code: ErrorCode) -> None:
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
