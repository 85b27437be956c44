"""Frames that are dropped, late, or long in coming, and clients that must wait for them."""

from __future__ import annotations

from dataclasses import replace

from protocol.errors import ErrorCode
from upscaler.conformance.case import Cases, Section, require
from upscaler.conformance.expected import Asked
from upscaler.conformance.kit import Kit
from upscaler.conformance.language import OK
from upscaler.conformance.subject import require_error

CASES = Cases()
PLAIN = Asked()
SLOW = Asked(width=960, height=540, method="quicksrnet-small", delivery="latest")
"""A method that takes milliseconds, so that frames wait, and a deadline of one is missed."""
FLOOD = 400
HOPELESS_MS, EASY_MS = 1, 60_000


def dropped_frames(kit: Kit, asked: Asked) -> None:
    """A frame that was dropped comes back with its id and no pixels; credit and slot are free."""
    asked = replace(asked, credits=2)
    subject, service = kit.open_scripted(asked)
    for seed in range(6):  # more than there are slots
        first, second = subject.must_submit(seed), subject.must_submit(seed + 50)
        service.drop(service.frame(seed, first))
        service.finish(service.frame(seed + 50, second))
        subject.must_receive(first, "", outcome="dropped")
        subject.must_receive(second, kit.expected.crc(seed + 50, asked))
    counts = subject.stats()
    came = (counts["frames"], counts["dropped"])
    require(that=came == (6, 6), expected="stats with frames=6 dropped=6", came=counts)


def latest_wins(kit: Kit, asked: Asked) -> None:
    """A flood of frames: some are dropped, each comes back once, and the last one upscaled."""
    subject = kit.open(asked)
    seeds: dict[int, int] = {}
    waiting, dropped, last = 0, 0, 0
    # Until a frame was dropped, which on a busy machine may take a while.
    while waiting or not dropped:
        if waiting < asked.credits and not dropped:
            require(that=len(seeds) < FLOOD, expected=f"a drop in {FLOOD} frames", came="none")
            last = subject.must_submit(len(seeds))
            seeds[last] = len(seeds)
            waiting += 1
            continue
        answer = subject.receive()
        require(that=answer.word == OK, expected="a result", came=answer)
        frame_id, outcome = answer.integer("id"), answer.text("outcome")
        require(that=frame_id in seeds, expected=f"an id of {sorted(seeds)}", came=frame_id)
        seed = seeds.pop(frame_id)
        waiting -= 1
        if outcome == "dropped":
            require(that=frame_id != last or waiting > 0, expected="the last upscaled", came=answer)
            dropped += 1
            continue
        crc = kit.expected.crc(seed, asked)
        right = outcome == "upscaled" and answer.text("crc") == crc
        require(that=right, expected=f"ok id={frame_id} outcome=upscaled crc={crc}", came=answer)
    counted = subject.stats()["dropped"]
    require(that=counted == dropped, expected=f"dropped={dropped} in stats", came=counted)


def deadlines(kit: Kit, asked: Asked, outcome: str) -> None:
    """A frame that would miss its deadline."""
    subject = kit.open(asked)
    for seed in range(3):  # the service learns how long they take
        kit.upscale(asked, seed)
    for seed in (10, 11):
        frame_id = subject.must_submit(seed, deadline_ms=HOPELESS_MS)
        method = asked.fallback if outcome == "fallback" else asked.method
        crc = "" if outcome == "dropped" else kit.expected.crc(seed, asked, method)
        subject.must_receive(frame_id, crc, outcome=outcome)
    frame_id = subject.must_submit(12, deadline_ms=EASY_MS)
    subject.must_receive(frame_id, kit.expected.crc(12, asked))
    counts = subject.stats()
    key = {"fallback": "fallbacks", "dropped": "dropped", "upscaled": "missed"}[outcome]
    # The fallback may have been late as well: it is quick, and a deadline of a moment is short.
    require(that=counts[key] == 2, expected=f"{key}=2 in stats", came=counts)


def stale_deadline(kit: Kit, asked: Asked) -> None:
    """A deadline that has passed is STALE_DEADLINE, and costs neither credit nor slot."""
    subject = kit.open(replace(asked, credits=1))
    for _ in range(5):  # more than there are slots
        answer = subject.submit(1, deadline_ms=-5)
        require_error(answer, ErrorCode.STALE_DEADLINE, when="from submit of deadline_ms=-5")
    kit.upscale(asked, 2)


for transport in ("shm", "inline"):
    shared = transport == "shm"
    slow, plain = replace(SLOW, transport=transport), replace(PLAIN, transport=transport)
    CASES.vary(f"dropped-{transport}", Section.CREDITS, dropped_frames, plain, shared=shared)
    CASES.vary(f"latest-{transport}", Section.CREDITS, latest_wins, slow, shared=shared)
    CASES.vary(
        f"stale-deadline-{transport}", Section.DEADLINES, stale_deadline, plain, shared=shared
    )


for fallback, outcome, transport in (
    ("nearest", "fallback", "shm"),
    ("nearest", "fallback", "inline"),
    ("drop", "dropped", "auto"),
    ("", "upscaled", "auto"),
):
    CASES.vary(
        f"deadline-{fallback or 'missed'}-{transport}",
        Section.DEADLINES,
        deadlines,
        replace(SLOW, fallback=fallback, delivery="every", transport=transport),
        outcome,
        requires=f"a hopeless deadline with fallback={fallback}: {outcome}, and counted",
        shared=transport == "shm",
    )


@CASES.add(Section.LIVENESS)
def late_result(kit: Kit) -> None:
    """Receive ends with TIMEOUT when its time is over; the result may be received later."""
    subject, service = kit.open_scripted(PLAIN)
    frame_id = subject.must_submit(1)
    frame = service.frame(1, frame_id)
    require_error(subject.receive(timeout_ms=200), ErrorCode.TIMEOUT, when="from receive")
    service.finish(frame)
    subject.must_receive(frame_id, kit.expected.crc(1, PLAIN))
    kit.exchange(service, PLAIN, 2)


@CASES.add(Section.LIVENESS)
def woken_by_a_result(kit: Kit) -> None:
    """A result that comes while the client waits ends the wait."""
    subject, service = kit.open_scripted(PLAIN)
    frame_id = subject.must_submit(1)
    frame = service.frame(1, frame_id)
    subject.start_receive(timeout_ms=20_000)
    service.finish(frame)
    answer = subject.finish_receive(timeout_ms=0)
    require(that=answer.values.get("id") == str(frame_id), expected=f"id={frame_id}", came=answer)


@CASES.add(Section.LIVENESS)
def keepalives(kit: Kit) -> None:
    """KEEPALIVE may come at any time and is no result, no error and no answer."""
    service, subject = kit.script(PLAIN), kit.subject
    subject.start_open(service.endpoint, PLAIN)
    hello = service.hello()
    service.keep_alive()
    service.welcome(hello)
    subject.must_finish_open(PLAIN)
    for seed in range(3):
        service.keep_alive()
        frame_id = subject.must_submit(seed)
        frame = service.frame(seed, frame_id)
        for _ in range(20):
            service.keep_alive()
        service.finish(frame)
        subject.must_receive(frame_id, kit.expected.crc(seed, PLAIN))
