"""Writes seeds for protocol/c/fuzz_replies.c: sessions as the Python codec puts them into words.

python tests/protocol/fuzz_seeds.py FOLDER
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from protocol.frames import PixelFormat, Size
from protocol.messages import (
    INLINE_SLOT,
    Bye,
    Failure,
    Keepalive,
    Outcome,
    Report,
    Result,
    Transport,
    Welcome,
    encode,
)

SIZE = Size(16, 8)
MESSAGE, SUBMIT, POLL, RELEASE, ACQUIRE, LOOK = range(6)
RGBA, SHARED, OPEN, AUTO = 1, 2, 4, 8
WORD = "a sentence that is longer than there is room for, é " * 20


def message(header: bytes, second: bytes = b"") -> bytes:
    """One step of an input: a message of the service."""
    return bytes([MESSAGE]) + struct.pack("<HH", len(header), len(second)) + header + second


def steps(*kinds: int) -> bytes:
    """Steps of the client."""
    return bytes(kinds)


class Session:
    """What a service would say to a client that asks for it with these flags."""

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.shared = bool(flags & SHARED)
        self.format = PixelFormat.RGBA8 if flags & RGBA else PixelFormat.RGB8

    def welcome(self, **changed: object) -> bytes:
        fields: dict[str, object] = {
            "upscaled": SIZE,
            "credits": 3,
            "pixel_format": self.format,
            "method": "nearest",
            "engine": "opencv",
            "device": "CPU",
            "emulated": False,
        }
        if self.shared:
            fields |= {
                "transport": Transport.SHARED_MEMORY,
                "slot_count": 7,
                "slot_bytes": 4096,
                "result_slot_bytes": 4096,
                "segment": "upscaler-fuzz",
            }
        return message(encode(Welcome(**(fields | changed))))  # type: ignore[arg-type]

    def result(self, frame_id: int, *, slot: int, **changed: object) -> bytes:
        stride = SIZE.width * self.format.channels
        fields: dict[str, object] = {
            "frame_id": frame_id,
            "size": SIZE,
            "stride": stride,
            "pixel_format": self.format,
            "slot": slot if self.shared else INLINE_SLOT,
            "submitted_ns": 1_000,
            "received_ns": 2_000,
            "started_ns": 3_000,
            "finished_ns": 9_000,
            "returned_ns": 9_500,
            "deadline_ns": 5_000,
        }
        made = Result(**(fields | changed))  # type: ignore[arg-type]
        inline = not self.shared and made.outcome is not Outcome.DROPPED
        return message(encode(made), bytes(stride * SIZE.height) if inline else b"")

    @property
    def begin(self) -> bytes:
        return bytes([self.flags | 2 << 4])


def error(code: int, frame_id: int = 0, sentence: str = "no") -> bytes:
    return message(encode(Failure(code=code, frame_id=frame_id)), sentence.encode())


def seeds() -> dict[str, bytes]:
    """Inputs by name."""
    made = {}
    for flags in range(16):
        session = Session(flags)
        stride = SIZE.width * session.format.channels
        opened = session.begin + (b"" if flags & OPEN else session.welcome())
        frames = steps(SUBMIT, SUBMIT, SUBMIT)
        polls = steps(POLL, POLL, POLL, RELEASE, RELEASE | 8, LOOK)
        made |= {
            f"results_{flags}": opened
            + frames
            + session.result(1, slot=0)
            + session.result(3, slot=2, outcome=Outcome.FALLBACK)
            + session.result(2, slot=1, outcome=Outcome.DROPPED, started_ns=0, finished_ns=0)
            + polls
            + steps(ACQUIRE, RELEASE, SUBMIT)
            + session.result(4, slot=1)
            + polls,
            f"failures_{flags}": opened
            + frames
            + error(11, 2, WORD)
            + error(99, 7)
            + error(12)
            + message(encode(Failure(code=1)))
            + polls,
            f"wrong_{flags}": opened
            + frames
            + session.result(9, slot=0)
            + session.result(1, slot=5)
            + session.result(1, slot=0, size=Size(16, 9))
            + session.result(1, slot=0, stride=4096)
            + session.result(1, slot=0, pixel_format=PixelFormat.BGR8)
            + message(encode(Report()))
            + message(b"UPSC")
            + polls,
            f"goodbye_{flags}": opened
            + frames
            + session.result(1, slot=0)
            + message(encode(Keepalive()))
            + message(encode(Bye()))
            + polls
            + session.welcome()
            + frames
            + polls,
            f"refused_{flags}": session.begin
            + error(15, sentence="no room")
            + session.welcome()
            + Session(flags & ~SHARED).welcome()
            + frames,
            f"again_{flags}": opened
            + frames
            + session.welcome(slot_count=2, slot_bytes=1 << 20, result_slot_bytes=1 << 20)
            + session.welcome(upscaled=Size(2, 2))
            + session.result(2, slot=1)
            + session.result(1, slot=0, stride=2 * stride)
            + session.result(3, slot=2, stride=stride + 1)
            + polls,
            f"offers_{flags}": session.begin
            + session.welcome(segment="../etc/passwd")
            + session.welcome(slot_bytes=1 << 60, slot_count=65535)
            + session.welcome(slot_bytes=1 << 20)  # more than there is
            + frames
            + session.welcome(result_slot_bytes=1)
            + session.welcome(credits=0)
            + session.welcome(upscaled=Size(1, 1))
            + session.welcome(credits=65535)
            + frames
            + polls,
        }
    return made


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in seeds().items():
        (folder / name).write_bytes(seed)
