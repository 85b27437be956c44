"""Messages in a session that a true service never sends.

After each of them a client must go on: it may ignore the message, or report an error with a code,
about the frame or about none. What it may not do is crash, hang, take the frame's credit away,
lose its session, or hand pixels out that are not the frame's own. Then the true result comes, and
another frame goes there and back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.errors import ErrorCode
from protocol.frames import PixelFormat, Size
from protocol.messages import (
    INLINE_SLOT,
    Failure,
    Frame,
    Outcome,
    Query,
    Report,
    Welcome,
    encode,
)
from upscaler.conformance.case import Cases, Section, fail, require
from upscaler.conformance.expected import Asked
from upscaler.conformance.kit import Kit
from upscaler.conformance.language import OK
from upscaler.conformance.scripted import ScriptedService, Taken
from upscaler.conformance.subject import GONE, Subject, require_error

CASES = Cases()
PLAIN = Asked()
SHARED = Asked(transport="shm")
ATTEMPTS = 4
"""Receives that may answer with an error before the result must come."""
UNKNOWN_CODE = 999
AFTER_PREFIX = 16
"""Where the fields of a header begin."""

Untrue = Callable[[ScriptedService, Taken], list[list[bytes]]]
"""Makes messages for a frame in flight."""


def hostile(kit: Kit, asked: Asked, untrue: Untrue) -> None:
    """Survive messages about a frame in flight, and go on."""
    subject, service = kit.open_scripted(asked)
    kit.exchange(service, asked, 1)
    crcs: dict[int, str] = {}
    for seed in (2, 3, 4):
        frame_id = subject.must_submit(seed)
        crcs[frame_id] = kit.expected.crc(seed, asked)
        taken = service.frame(seed, frame_id)
        if seed == 2:
            for parts in untrue(service, taken):
                service.send(*parts)
        service.finish(taken)
        _receive(subject, frame_id, crcs)


def _receive(subject: Subject, frame_id: int, crcs: dict[int, str]) -> None:
    """Receive until a frame has ended: with its own pixels, or with an error that names it.

    The result of a frame that an error named may still come; `crcs` are of all that may.
    """
    answers = []
    for _ in range(ATTEMPTS):
        answer = subject.receive(timeout_ms=3000)
        answers.append(str(answer))
        if answer.word == OK:
            came = answer.integer("id")
            wanted = crcs.pop(came, None)
            require(
                that=wanted is not None and answer.values.get("crc") == wanted,
                expected=f"id={frame_id} crc={crcs.get(frame_id, wanted)}, or an error",
                came=answer,
            )
            if came == frame_id:
                return
            continue
        code = answer.integer("code")
        require(that=code not in GONE, expected="a session that goes on", came=answer)
        if answer.values.get("id") == str(frame_id) and code != ErrorCode.TIMEOUT:
            return
    fail(f"the result of frame {frame_id}, or its error", "; ".join(answers[-2:]))


def _changed(**changes: Any) -> Untrue:
    """The frame's result with other fields, and pixels as the header says where that is little."""

    def messages(service: ScriptedService, taken: Taken) -> list[list[bytes]]:
        result = service.result_of(taken, **changes)
        if taken.frame.slot != INLINE_SLOT:
            return [[encode(result)]]
        length = min(result.stride * result.size.height, 1 << 20)
        return [[encode(result), b"\x55" * length]]

    return messages


def _pixels(*lengths: int) -> Untrue:
    """The frame's true header with parts that are so much longer than its pixels."""

    def messages(service: ScriptedService, taken: Taken) -> list[list[bytes]]:
        result = service.result_of(taken)
        length = result.stride * result.size.height
        return [[encode(result), *(b"\x55" * max(0, length + more) for more in lengths)]]

    return messages


def _header(change: Callable[[bytes], bytes]) -> Untrue:
    """The frame's true result with a header that was changed byte by byte."""

    def messages(service: ScriptedService, taken: Taken) -> list[list[bytes]]:
        result = service.result_of(taken)
        return [[change(encode(result)), b"\x55" * result.stride * result.size.height]]

    return messages


def _always(*parts: bytes) -> Untrue:
    """One message, whatever the frame."""
    return lambda _service, _taken: [list(parts)]


def _patched(at: int, value: int) -> Callable[[bytes], bytes]:
    return lambda header: header[:at] + bytes([value]) + header[at + 1 :]


def _other_slot(taken: Taken) -> int:
    return 1 if taken.frame.slot == 0 else 0


ROW = PLAIN.upscaled.width * 4
FRAME = Frame(frame_id=1, size=PLAIN.size, stride=256, pixel_format=PixelFormat.RGBA8)
WELCOME = Welcome(
    upscaled=Size(8, 8),
    credits=1,
    pixel_format=PixelFormat.RGB8,
    method="nearest",
    engine="none",
    device="none",
    emulated=False,
)
TABLE: list[tuple[str, Section, Untrue]] = [
    ("empty", Section.ERRORS, _always(b"")),
    ("garbage", Section.ERRORS, _always(bytes(range(200, 256)) * 3)),
    ("garbage-parts", Section.ERRORS, _always(*(bytes([part] * part) for part in range(1, 9)))),
    ("magic-alone", Section.ERRORS, _always(b"UPSC")),
    ("prefix-alone", Section.ERRORS, _header(lambda header: header[:AFTER_PREFIX])),
    ("truncated", Section.ERRORS, _header(lambda header: header[:-8])),
    ("untrue-length", Section.ERRORS, _header(_patched(8, 255))),
    ("unknown-kind", Section.ERRORS, _header(_patched(6, 77))),
    ("major-version", Section.VERSIONS, _header(_patched(4, 2))),
    ("unknown-outcome", Section.ERRORS, _header(lambda header: header[:-1] + b"\x09")),
    ("of-a-client", Section.ERRORS, _always(encode(FRAME))),
    ("query", Section.ERRORS, _always(encode(Query()))),
    ("report", Section.ERRORS, _always(encode(Report()), b"{}")),
    ("second-welcome", Section.OPENING, _always(encode(WELCOME))),
    ("unknown-frame", Section.FRAMES, _changed(frame_id=999)),
    ("frame-none", Section.FRAMES, _changed(frame_id=0)),
    ("frame-of-before", Section.FRAMES, _changed(frame_id=1)),
    ("frame-largest", Section.FRAMES, _changed(frame_id=2**64 - 1)),
    ("size", Section.FRAMES, _changed(size=Size(64, 36), stride=256)),
    ("size-huge", Section.FRAMES, _changed(size=Size(2**32 - 1, 2**32 - 1))),
    ("size-none", Section.FRAMES, _changed(size=Size(0, 0), stride=0)),
    ("format", Section.FRAMES, _changed(pixel_format=PixelFormat.RGB8, stride=384)),
    ("stride-short", Section.FRAMES, _changed(stride=ROW - 1)),
    ("stride-none", Section.FRAMES, _changed(stride=0)),
    ("stride-huge", Section.FRAMES, _changed(stride=2**32 - 1)),
    ("pixels-short", Section.FRAMES, _pixels(-1)),
    ("pixels-long", Section.FRAMES, _pixels(1)),
    ("pixels-missing", Section.FRAMES, _pixels()),
    ("pixels-twice", Section.FRAMES, _pixels(0, 0)),
    ("pixels-empty", Section.FRAMES, _pixels(-(1 << 30))),
    ("slot-inline", Section.FRAMES, _changed(slot=3)),
    ("dropped-with-pixels", Section.FRAMES, _changed(outcome=Outcome.DROPPED)),
    ("error-of-nothing", Section.ERRORS, _always(encode(Failure(code=1)), b"no reason")),
    ("error-without-sentence", Section.ERRORS, _always(encode(Failure(code=1)))),
    ("error-unknown-code", Section.ERRORS, _always(encode(Failure(code=UNKNOWN_CODE)), b"?")),
    ("error-code-none", Section.ERRORS, _always(encode(Failure(code=0)), b"?")),
    ("error-not-utf8", Section.ERRORS, _always(encode(Failure(code=1)), b"\xff\xfe\x00%s%n" * 9)),
    ("error-long", Section.ERRORS, _always(encode(Failure(code=1)), b"x" * 300_000)),
    ("error-of-unknown-frame", Section.ERRORS, _always(encode(Failure(code=1, frame_id=9)), b"")),
]
for name, section, untrue in TABLE:
    CASES.vary(
        f"hostile-{name}",
        section,
        hostile,
        PLAIN,
        untrue,
        requires=f"a message of the kind {name!r} is ignored or an error; the session goes on",
    )


def _slot(choose: Callable[[Taken], int]) -> Untrue:
    return lambda service, taken: [[encode(service.result_of(taken, slot=choose(taken)))]]


SLOTS: list[tuple[str, Untrue]] = [
    ("slot-other", _slot(_other_slot)),
    ("slot-out-of-range", _slot(lambda _: 0xFFFE)),
    ("slot-none", _slot(lambda _: INLINE_SLOT)),
    ("stride-beyond-slot", _changed(stride=2 * ROW)),
    ("pixels-beside-slot", _pixels(0)),
]
for name, untrue in SLOTS:
    CASES.vary(
        f"hostile-{name}",
        Section.MEMORY,
        hostile,
        SHARED,
        untrue,
        requires=f"a result with {name.replace('-', ' ')} is ignored or an error; all goes on",
        shared=True,
    )


@CASES.add(Section.VERSIONS)
def newer_minor_result(kit: Kit) -> None:
    """A RESULT of a newer minor version has a longer header, whose end is skipped."""
    subject, service = kit.open_scripted(PLAIN)
    frame_id = subject.must_submit(2)
    taken = service.frame(2, frame_id)
    service.send(newer(encode(service.result_of(taken))), taken.upscaled.tobytes())
    subject.must_receive(frame_id, kit.expected.crc(2, PLAIN))


@CASES.add(Section.ERRORS)
def failed_without_a_sentence(kit: Kit) -> None:
    """A frame's ERROR of an unknown code, without a sentence, ends that frame alone."""
    asked = replace(PLAIN, credits=1)
    subject, service = kit.open_scripted(asked)
    frame_id = subject.must_submit(1)
    service.fail(service.frame(1, frame_id), UNKNOWN_CODE, None)
    answer = subject.receive()
    require_error(answer, when="of any code from receive")
    named = answer.values.get("id")
    require(that=named == str(frame_id), expected=f"id={frame_id} with it", came=answer)
    kit.exchange(service, asked, 2)


def newer(header: bytes, more: bytes = b"\xaa" * 24) -> bytes:
    """Return a header as a newer minor version would write it: with fields that nobody knows."""
    longer = bytearray(header + more)
    longer[5] += 1
    struct.pack_into("<I", longer, 8, len(longer))
    return bytes(longer)
