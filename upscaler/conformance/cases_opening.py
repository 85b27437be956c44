"""Opening a session with services that tell the truth: HELLO, refusals, nobody there, closing."""

from __future__ import annotations

import socket
from dataclasses import replace
from fractions import Fraction

from protocol.errors import ErrorCode
from protocol.messages import Delivery, Hello, Transport
from upscaler.conformance.case import Cases, Section, require
from upscaler.conformance.expected import Asked
from upscaler.conformance.kit import Kit
from upscaler.conformance.subject import require_error

CASES = Cases()
PLAIN = Asked()
SHARED = Asked(transport="shm")
BRIEF = Asked(timeout_ms=200)
UNUSUAL = Asked(
    width=50,
    height=31,
    scale="13/10",
    method="fsr1:stops=0.5,limiter=1.0,denoise",
    fallback="nearest",
    credits=5,
    sharpness=0.75,
)


def handshake(kit: Kit, asked: Asked) -> None:
    """HELLO says what was asked for, and the client answers what WELCOME says."""
    service, subject = kit.script(asked), kit.subject
    subject.start_open(service.endpoint, asked)
    hello = service.hello()
    shared = asked.transport == "shm"
    wanted = Hello(
        size=asked.size,
        scale=Fraction(asked.scale),
        pixel_format=asked.pixel_format,
        method=asked.method,
        fallback=asked.fallback,
        transport=Transport.SHARED_MEMORY if shared else Transport.INLINE,
        delivery=Delivery[asked.delivery.upper()],
        credits=asked.credits,
        sharpness_stops=asked.sharpness,
        client=hello.client,
    )
    for name in Hello.__struct_fields__:
        said, meant = getattr(hello, name), getattr(wanted, name)
        require(that=said == meant, expected=f"HELLO with {name} {meant}", came=said)
    # Fewer than it wanted: the service decides.
    service.welcome(hello, credits=2)
    answer = subject.must_finish_open(asked)
    method = asked.method.partition(":")[0]
    came = (answer.integer("credits"), answer.text("method"))
    require(that=came == (2, method), expected=f"credits=2 method={method}", came=answer)


for each in (
    replace(UNUSUAL, format="rgb8", transport="inline"),
    replace(UNUSUAL, format="bgr8", transport="shm"),
    replace(UNUSUAL, format="rgba8", transport="shm", delivery="latest"),
    replace(UNUSUAL, format="bgra8", transport="inline", delivery="latest"),
):
    CASES.vary(
        f"handshake-{each.format}-{each.transport}-{each.delivery}",
        Section.OPENING,
        handshake,
        each,
        shared=each.transport == "shm",
    )


@CASES.add(Section.OPENING)
def open_and_close(kit: Kit) -> None:
    """A service opens a session, and another after it was closed."""
    for _ in range(3):
        kit.open(PLAIN)
        kit.upscale(PLAIN, 1)
        kit.subject.close()


@CASES.add(Section.OPENING)
def default_method(kit: Kit) -> None:
    """An empty method is the service's default, a network; WELCOME says which."""
    asked = Asked(method="", format="bgr8")
    answer = kit.subject.must_open(kit.service.endpoint, asked)
    name = "quicksrnet-small"
    require(that=answer.text("method") == name, expected=f"method={name}", came=answer)
    kit.upscale(asked, 3)


def refused(kit: Kit, asked: Asked, code: ErrorCode) -> None:
    """An error with its code, the client's own or the service's; another session may follow."""
    answer = kit.subject.open(kit.service.endpoint, asked)
    require_error(answer, code, when="from open")
    kit.open(PLAIN)
    kit.upscale(PLAIN, 4)


for name, asked, code in (
    ("method", Asked(method="nonsense"), ErrorCode.UNKNOWN_METHOD),
    ("fallback", Asked(fallback="nonsense"), ErrorCode.UNKNOWN_METHOD),
    ("option", Asked(method="fsr1:nonsense=1"), ErrorCode.BAD_OPTION),
    ("credits", Asked(credits=9), ErrorCode.BAD_OPTION),
    ("size-none", Asked(width=0), ErrorCode.UNSUPPORTED_SIZE),
    ("size-large", Asked(width=8193), ErrorCode.UNSUPPORTED_SIZE),
    ("size-result", Asked(width=4097, height=8), ErrorCode.UNSUPPORTED_SIZE),
    ("size-odd", Asked(width=63, scale="3/2"), ErrorCode.UNSUPPORTED_SIZE),
    ("scale", Asked(scale="5/1"), ErrorCode.UNSUPPORTED_SCALE),
    (
        "scale-network",
        Asked(scale="13/10", method="quicksrnet-small"),
        ErrorCode.UNSUPPORTED_SCALE,
    ),
):
    CASES.vary(f"refused-{name}", Section.OPENING, refused, asked, code)


@CASES.add(Section.ERRORS)
def refused_without_a_sentence(kit: Kit) -> None:
    """ERROR refuses without a sentence, too, and with its code."""
    service, subject = kit.script(PLAIN), kit.subject
    subject.start_open(service.endpoint, PLAIN)
    service.hello()
    service.refuse(ErrorCode.TOO_MANY_CLIENTS, None)
    require_error(subject.finish_open(PLAIN), ErrorCode.TOO_MANY_CLIENTS, when="from open")


@CASES.add(Section.LIVENESS)
def nobody_there(kit: Kit) -> None:
    """Where nobody listens, opening ends with TIMEOUT when its time is over."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        answer = kit.subject.open(endpoint, BRIEF)
    require_error(answer, ErrorCode.TIMEOUT, when="from open")


@CASES.add(Section.LIVENESS)
def silent_service(kit: Kit) -> None:
    """A service that takes HELLO and says nothing is a TIMEOUT, too."""
    service = kit.script(BRIEF)
    kit.subject.start_open(service.endpoint, BRIEF)
    service.hello()
    require_error(kit.subject.finish_open(BRIEF), ErrorCode.TIMEOUT, when="from open")


@CASES.add(Section.OPENING)
def no_endpoint(kit: Kit) -> None:
    """What is no endpoint is an error, and no crash."""
    for endpoint in ("nonsense", "tcp://127.0.0.1:notaport", ""):
        answer = kit.subject.open(endpoint, BRIEF)
        require_error(answer, when=f"from open of endpoint={endpoint}")


@CASES.add(Section.MEMORY, shared=True)
def asks_again_inline(kit: Kit) -> None:
    """With transport=auto a refusal of shared memory leads to another HELLO, inline."""
    asked = replace(PLAIN, transport="auto")
    service, subject = kit.script(asked), kit.subject
    subject.start_open(service.endpoint, asked)
    for transport in (Transport.SHARED_MEMORY, Transport.INLINE):
        hello = service.hello()
        require(
            that=hello.transport is transport,
            expected=f"HELLO with transport {transport.name}",
            came=hello.transport.name,
        )
        if transport is Transport.SHARED_MEMORY:
            service.refuse(ErrorCode.UNSUPPORTED_TRANSPORT, "no room in /dev/shm")
    service.welcome(hello)
    answer = subject.must_finish_open(asked)
    require(that=answer.text("transport") == "inline", expected="transport=inline", came=answer)
    kit.exchange(service, asked, 5)


@CASES.add(Section.MEMORY, shared=True)
def never_inline_unasked(kit: Kit) -> None:
    """With transport=shm that refusal is the answer, and nothing travels inline."""
    asked = replace(SHARED, timeout_ms=1500)
    service, subject = kit.script(asked), kit.subject
    subject.start_open(service.endpoint, asked)
    service.hello()
    service.refuse(ErrorCode.UNSUPPORTED_TRANSPORT, "no room in /dev/shm")
    require_error(subject.finish_open(asked), ErrorCode.UNSUPPORTED_TRANSPORT, when="from open")


@CASES.add(Section.CLOSING)
def says_goodbye(kit: Kit) -> None:
    """Closing sends BYE."""
    subject, service = kit.open_scripted(PLAIN)
    subject.close()
    service.bye()


def leaves_nothing(kit: Kit, asked: Asked) -> None:
    """After closing, the service has no session and no shared memory of the client."""
    kit.wait_until(lambda: not kit.sessions(), expected="no session before the case")
    before = kit.segments()
    kit.open(asked)
    frame_id = kit.subject.must_submit(6)
    kit.subject.must_receive(frame_id, kit.expected.crc(6, asked), keep=True)
    sessions = kit.sessions()
    require(that=len(sessions) == 1, expected="one session while it is open", came=sessions)
    made = kit.segments() - before
    if asked.transport == "shm":
        require(that=len(made) == 1, expected="one segment of shared memory", came=len(made))
    kit.subject.close()
    kit.wait_until(lambda: not kit.sessions(), expected="no session once the client is closed")
    kit.wait_until(
        lambda: not any(path.exists() for path in made),
        expected="no shared memory once the client is closed",
    )


for each in (PLAIN, SHARED):
    CASES.vary(
        f"leaves-nothing-{each.transport}",
        Section.CLOSING,
        leaves_nothing,
        each,
        shared=each is SHARED,
    )
