"""Answers to HELLO that a true service never gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from msgspec.structs import replace as changed

from protocol.errors import ErrorCode
from protocol.messages import Transport
from upscaler.conformance.case import Cases, Section, require
from upscaler.conformance.cases_hostile import newer
from upscaler.conformance.expected import Asked
from upscaler.conformance.kit import Kit
from upscaler.conformance.language import OK
from upscaler.conformance.subject import require_error
from upscaler.shared_memory import Segment, folder

CASES = Cases()
PLAIN = Asked(timeout_ms=3000)
SHARED = replace(PLAIN, transport="shm")
AUTO = replace(PLAIN, transport="auto")
SMALL_BYTES = 4096


@CASES.add(Section.VERSIONS)
def newer_minor_welcome(kit: Kit) -> None:
    """A WELCOME of a newer minor version has a longer header, whose end is skipped."""
    _, service = kit.open_scripted(PLAIN, change=newer)
    kit.exchange(service, PLAIN, 1)


@CASES.add(Section.VERSIONS)
def other_major_welcome(kit: Kit) -> None:
    """A WELCOME of another major version is UNSUPPORTED_VERSION; a true one may follow."""
    service, subject = kit.script(PLAIN), kit.subject
    subject.start_open(service.endpoint, PLAIN)
    service.welcome(service.hello(), change=lambda header: header[:4] + b"\x02" + header[5:])
    require_error(subject.finish_open(PLAIN), ErrorCode.UNSUPPORTED_VERSION, when="from open")
    _opens(kit, PLAIN)


def before_welcome(kit: Kit, *parts: bytes) -> None:
    """Nonsense before WELCOME is ignored, or an error after which another session may follow."""
    service, subject = kit.script(PLAIN), kit.subject
    subject.start_open(service.endpoint, PLAIN)
    hello = service.hello()
    service.send(*parts)
    service.welcome(hello)
    answer = subject.finish_open(PLAIN)
    if answer.word == OK:
        kit.exchange(service, PLAIN, 1)
        return
    _opens(kit, PLAIN)


for name, parts in (
    ("empty", [b""]),
    ("garbage", [bytes(range(256))]),
    ("garbage-parts", [bytes([each]) * each for each in range(1, 9)]),
):
    CASES.vary(f"hostile-{name}-opening", Section.ERRORS, before_welcome, *parts)


def untrue_welcome(kit: Kit, asked: Asked, changes: dict[str, Any]) -> None:
    """A WELCOME that cannot be is an error of open, or of what follows, and never a crash."""
    service, subject = kit.script(asked), kit.subject
    subject.start_open(service.endpoint, asked)
    service.welcome(service.hello(), **changes)
    answer = subject.finish_open(asked)
    if answer.word == OK:
        answer = subject.submit(1)
    require_error(answer, when="from open, or from submit")
    _opens(kit, asked)


for name, asked, changes in (
    ("credits-none", replace(PLAIN, timeout_ms=200), {"credits": 0}),
    ("slots-none", SHARED, {"slot_count": 0}),
    ("slots-too-small", SHARED, {"slot_bytes": 64, "result_slot_bytes": 64}),
    ("slots-huge", SHARED, {"slot_bytes": 2**63, "result_slot_bytes": 2**63}),
    ("slots-overflowing", SHARED, {"slot_bytes": 2**64 - 4096, "result_slot_bytes": 4096}),
):
    CASES.vary(
        f"welcome-{name}",
        Section.MEMORY if asked is SHARED else Section.CREDITS,
        untrue_welcome,
        asked,
        changes,
        shared=asked is SHARED,
    )


def no_segment(kit: Kit, asked: Asked, name: Callable[[str, str], str]) -> None:
    """Shared memory that cannot be: UNSUPPORTED_TRANSPORT, or inline with transport=auto."""
    service, subject = kit.script(asked), kit.subject
    subject.start_open(service.endpoint, asked)
    hello = service.hello()
    offered = service.offer(hello)
    with _segment() as small:
        segment = name(offered.segment, small)
        service.welcome_with(changed(offered, segment=segment))
        if asked.transport == "shm":
            answer = subject.finish_open(asked)
            require_error(answer, ErrorCode.UNSUPPORTED_TRANSPORT, when=f"from open of {segment}")
            return
        hello = service.hello()
        require(
            that=hello.transport is Transport.INLINE,
            expected="another HELLO, for pixels in messages",
            came=hello.transport.name,
        )
        service.welcome(hello)
        answer = subject.must_finish_open(asked)
    require(that=answer.text("transport") == "inline", expected="transport=inline", came=answer)
    kit.exchange(service, asked, 2)


for label, named in (
    # A path that leads to the true segment: whoever maps it has not looked at the name.
    ("path", lambda true, _: f"../{folder().name}/{true}"),
    ("absolute", lambda true, _: str(folder() / true)),
    ("missing", lambda _, __: "upscaler-00000000000000000000000000000000"),
    ("too-small", lambda _, small: small),
    ("odd-name", lambda _, __: "upscaler-%s%n\n\x7f"),
):
    for asked in (SHARED, AUTO):
        CASES.vary(
            f"segment-{label}-{asked.transport}",
            Section.MEMORY,
            no_segment,
            asked,
            named,
            shared=True,
        )


def _opens(kit: Kit, asked: Asked) -> None:
    """Require that a true service can be opened now."""
    _, service = kit.open_scripted(asked)
    kit.exchange(service, asked, 9)


@contextmanager
def _segment() -> Iterator[str]:
    """A segment that is smaller than any session's."""
    segment = Segment.make(SMALL_BYTES)
    try:
        yield segment.name
    finally:
        segment.unlink()
