"""Frames and results with services that tell the truth: formats, sizes, strides, credits, slots."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from protocol.errors import ErrorCode
from upscaler.conformance.case import Cases, Section, require
from upscaler.conformance.expected import Asked
from upscaler.conformance.kit import Kit
from upscaler.conformance.language import OK
from upscaler.conformance.subject import require_error

CASES = Cases()
PLAIN = Asked()
SHARED = Asked(transport="shm")
PIPELINED = 40
TRANSPORTS = ("shm", "inline")


def right_pixels(kit: Kit, *every: Asked) -> None:
    """Results are right to the last bit."""
    for asked in every:
        kit.open(asked)
        for seed in (1, 2):
            kit.upscale(asked, seed)


for transport in TRANSPORTS:
    shared = transport == "shm"
    for label in ("rgb8", "bgr8", "rgba8", "bgra8"):
        CASES.vary(
            f"format-{label}-{transport}",
            Section.FRAMES,
            right_pixels,
            Asked(format=label, method="fsr1", sharpness=0.5, transport=transport),
            requires=f"results in {label} at 2x are right to the last bit",
            shared=shared,
        )
    CASES.vary(
        f"scales-{transport}",
        Section.FRAMES,
        right_pixels,
        *(
            Asked(scale=scale, format="rgb8", method=method, transport=transport)
            for scale, method in (("3/2", "fsr1"), ("3/1", "bicubic"), ("4/1", "nearest"))
        ),
        requires="results at 1.5x, 3x and 4x are right",
        shared=shared,
    )
    CASES.vary(
        f"odd-sizes-{transport}",
        Section.FRAMES,
        right_pixels,
        *(
            Asked(width=width, height=height, format=label, scale=scale, transport=transport)
            for width, height, label, scale in (
                (1, 1, "rgb8", "2/1"),
                (33, 17, "bgr8", "2/1"),
                (7, 1, "rgba8", "3/1"),
                (1, 301, "rgb8", "2/1"),
                (31, 19, "rgba8", "17/10"),
            )
        ),
        requires="results of odd sizes are right",
        shared=shared,
    )
    CASES.vary(
        f"large-{transport}",
        Section.FRAMES,
        right_pixels,
        Asked(width=1920, height=1080, transport=transport),
        requires="1920x1080 to 3840x2160, 33 MB, is right",
        shared=shared,
    )
CASES.vary(
    "network",
    Section.FRAMES,
    right_pixels,
    Asked(method="quicksrnet-small", format="rgba8", transport="auto"),
    requires="the network's results are right, with transport=auto",
)


def padded_rows(kit: Kit, asked: Asked) -> None:
    """Frames whose rows lie apart give the same results."""
    kit.open(asked)
    row = asked.row_bytes
    longest = min(2 * row + 256, -(-row // 512) * 512) if asked.transport == "shm" else 512
    for seed, stride in enumerate((row, row + 1, row + 4, 256, longest, 0)):
        kit.upscale(asked, seed, stride=stride)


def impossible_stride(kit: Kit, asked: Asked) -> None:
    """A stride too short or too long is PIXELS_MISMATCH, and the next frame goes."""
    kit.open(asked)
    for stride in (asked.row_bytes - 1, 1_000_000):
        answer = kit.subject.submit(1, stride=stride)
        require_error(answer, ErrorCode.PIXELS_MISMATCH, when=f"from submit of stride={stride}")
    for seed in range(8):
        kit.upscale(asked, seed)


for each in (Asked(width=50, format="rgb8"), Asked(width=50, format="rgb8", transport="shm")):
    for name, run in (("strides", padded_rows), ("impossible-stride", impossible_stride)):
        CASES.vary(
            f"{name}-{each.transport}",
            Section.FRAMES,
            run,
            each,
            shared=each.transport == "shm",
        )


@CASES.add(Section.FRAMES)
def padded_results(kit: Kit) -> None:
    """Results whose rows lie apart are read by their stride."""
    asked = Asked(width=50, format="rgb8")
    subject, service = kit.open_scripted(asked)
    for seed, padding in enumerate((1, 20, 212, 0)):
        frame_id = subject.must_submit(seed)
        service.finish(service.frame(seed, frame_id), padding=padding)
        subject.must_receive(frame_id, kit.expected.crc(seed, asked))


def pipelined(kit: Kit, asked: Asked) -> None:
    """Many frames in flight: each comes back once, upscaled, with the right pixels."""
    subject = kit.open(asked)
    submitted: deque[tuple[int, int]] = deque()
    for seed in range(PIPELINED):
        if len(submitted) == asked.credits:
            frame_id, of = submitted.popleft()
            subject.must_receive(frame_id, kit.expected.crc(of, asked))
        frame_id = subject.must_submit(seed)
        last = submitted[-1][0] if submitted else 0
        require(that=frame_id > last, expected=f"an id above {last}", came=frame_id)
        submitted.append((frame_id, seed))
    for frame_id, of in submitted:
        subject.must_receive(frame_id, kit.expected.crc(of, asked))
    counts = subject.stats()
    came = (counts["frames"], counts["dropped"], counts["failed"], counts["lost"])
    require(that=came == (PIPELINED, 0, 0, 0), expected=f"stats of {PIPELINED} frames", came=counts)


for transport in TRANSPORTS:
    for credit_count in (1, 3, 8):
        CASES.vary(
            f"pipelined-{transport}-{credit_count}",
            Section.CREDITS,
            pipelined,
            Asked(transport=transport, credits=credit_count),
            requires=f"{PIPELINED} frames, {credit_count} in flight: each comes back once, right",
            shared=transport == "shm",
        )


@CASES.add(Section.FRAMES)
def out_of_order(kit: Kit) -> None:
    """Results that come in another order are told apart by their ids."""
    subject, service = kit.open_scripted(PLAIN)
    taken = {}
    for seed in (1, 2, 3):
        frame_id = subject.must_submit(seed)
        taken[frame_id] = (service.frame(seed, frame_id), seed)
    for frame_id in reversed(taken):
        service.finish(taken[frame_id][0])
        subject.must_receive(frame_id, kit.expected.crc(taken[frame_id][1], PLAIN))


def credits_kept(kit: Kit, asked: Asked, granted: int) -> None:
    """Never more in flight than WELCOME grants: submit waits, or is TOO_MANY_FRAMES."""
    subject, service = kit.open_scripted(asked, granted=granted)
    taken = []
    for seed in range(granted):
        frame_id = subject.must_submit(seed)
        taken.append((frame_id, seed, service.frame(seed, frame_id)))
    answer = subject.submit(99)
    require_error(
        answer,
        ErrorCode.TOO_MANY_FRAMES,
        ErrorCode.TIMEOUT,
        when=f"from submit with {granted} in flight",
    )
    for frame_id, seed, frame in taken:
        service.finish(frame)
        subject.must_receive(frame_id, kit.expected.crc(seed, asked))
        # The next FRAME must be this one: what was refused has not been sent.
        kit.exchange(service, asked, seed + 50)


CASES.vary("credits", Section.CREDITS, credits_kept, Asked(credits=2, timeout_ms=300), 2)
CASES.vary(
    "credits-granted",
    Section.CREDITS,
    credits_kept,
    Asked(credits=3, timeout_ms=300),
    1,
    requires="WELCOME may grant fewer credits than HELLO asked for, and those count",
)


@CASES.add(Section.MEMORY, shared=True)
def slots_exhausted(kit: Kit) -> None:
    """Results that are kept keep their slots: BAD_SLOT without one, and on after release."""
    asked = replace(SHARED, credits=1)
    subject = kit.open(asked)
    kept = {}
    for seed in range(3):  # twice the credits and one
        frame_id = subject.must_submit(seed)
        crc = kit.expected.crc(seed, asked)
        subject.must_receive(frame_id, crc, keep=True)
        kept[frame_id] = crc
    require_error(subject.submit(9), ErrorCode.BAD_SLOT, when="from submit with three results kept")
    for frame_id, crc in kept.items():
        now = subject.release(frame_id)
        require(that=now == crc, expected=f"kept pixels unchanged, crc={crc}", came=now)
        kit.upscale(asked, frame_id)


def kept_results(kit: Kit, asked: Asked) -> None:
    """A result that is kept does not change while others come and go."""
    subject = kit.open(asked)
    kept = {}
    for seed in range(3):
        frame_id = subject.must_submit(seed)
        kept[frame_id] = kit.expected.crc(seed, asked)
        subject.must_receive(frame_id, kept[frame_id], keep=True)
    for seed in range(20, 32):
        kit.upscale(asked, seed)
    for frame_id, crc in kept.items():
        now = subject.release(frame_id)
        require(that=now == crc, expected=f"kept pixels unchanged, crc={crc}", came=now)


for each in (SHARED, PLAIN):
    CASES.vary(
        f"kept-results-{each.transport}",
        Section.MEMORY,
        kept_results,
        each,
        shared=each is SHARED,
    )


@CASES.add(Section.MEMORY, shared=True)
def submitted_twice(kit: Kit) -> None:
    """A slot that is the service's cannot be submitted: BAD_SLOT, and nothing is sent."""
    subject, service = kit.open_scripted(SHARED)
    for seed in (1, 2):
        frame_id = subject.must_submit(seed)
        frame = service.frame(seed, frame_id)
        require_error(subject.submit_again(), ErrorCode.BAD_SLOT, when="while it is in flight")
        service.finish(frame)
        subject.must_receive(frame_id, kit.expected.crc(seed, SHARED))
        require_error(subject.submit_again(), ErrorCode.BAD_SLOT, when="after its result")


def failed_frames(kit: Kit, asked: Asked) -> None:
    """ERROR with a frame's id ends that frame: its code, its credit and its slot come back."""
    asked = replace(asked, credits=1)
    subject, service = kit.open_scripted(asked)
    for seed in range(5):  # more than there are slots
        frame_id = subject.must_submit(seed)
        service.fail(service.frame(seed, frame_id), ErrorCode.INTERNAL, "out of memory")
        answer = subject.receive()
        require_error(answer, ErrorCode.INTERNAL, when=f"from receive, of frame {frame_id}")
        named = answer.values.get("id")
        require(that=named == str(frame_id), expected=f"id={frame_id} with it", came=answer)
    kit.exchange(service, asked, 7)
    failed = subject.stats()["failed"]
    require(that=failed == 5, expected="failed=5 in stats", came=failed)


for each in (SHARED, PLAIN):
    CASES.vary(
        f"failed-frames-{each.transport}",
        Section.ERRORS,
        failed_frames,
        each,
        shared=each is SHARED,
    )


@CASES.add(Section.ERRORS)
def nothing_in_flight(kit: Kit) -> None:
    """Receiving with nothing in flight is an error, and changes nothing."""
    subject = kit.open(PLAIN)
    require_error(subject.receive(timeout_ms=300), when="from receive with nothing in flight")
    kit.upscale(PLAIN, 1)
    answer = subject.receive(timeout_ms=300)
    require(that=answer.word != OK, expected="an error from another receive", came=answer)
