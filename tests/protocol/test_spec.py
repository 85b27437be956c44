"""SPEC.md against the codec: its tables, its numbers and its test vectors.

`python tests/protocol/test_spec.py` writes the vectors into SPEC.md anew.
"""

from __future__ import annotations

import re
import textwrap
from enum import IntEnum
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from protocol import messages
from protocol.errors import ErrorCode
from protocol.frames import PixelFormat, Size
from protocol.messages import (
    Bye,
    Delivery,
    Failure,
    Frame,
    Hello,
    Keepalive,
    Kind,
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

SPEC = Path(messages.__file__).parent / "SPEC.md"
BEGIN, END = "<!-- vectors -->\n", "<!-- end -->"
VECTORS: list[Message] = [
    Hello(
        size=Size(960, 540),
        scale=Fraction(3, 2),
        pixel_format=PixelFormat.BGRA8,
        method="fsr1:denoise",
        fallback="drop",
        transport=Transport.SHARED_MEMORY,
        delivery=Delivery.EVERY,
        credits=3,
        sharpness_stops=0.25,
        client="my engine",
    ),
    Welcome(
        upscaled=Size(1440, 810),
        credits=3,
        pixel_format=PixelFormat.BGRA8,
        method="fsr1",
        engine="numba",
        device="CPU",
        emulated=False,
        transport=Transport.SHARED_MEMORY,
        delivery=Delivery.EVERY,
        slot_count=7,
        slot_bytes=2_211_840,
        result_slot_bytes=4_665_600 + 3_840,
        segment="upscaler-00112233445566778899aabbccddeeff",
    ),
    Frame(
        frame_id=7,
        size=Size(960, 540),
        stride=4096,
        pixel_format=PixelFormat.BGRA8,
        slot=2,
        submitted_ns=1_000_000_000,
        deadline_ns=1_016_666_667,
    ),
    Result(
        frame_id=7,
        size=Size(1440, 810),
        stride=5760,
        pixel_format=PixelFormat.BGRA8,
        slot=2,
        outcome=Outcome.UPSCALED,
        submitted_ns=1_000_000_000,
        received_ns=1_000_100_000,
        started_ns=1_000_150_000,
        finished_ns=1_009_150_000,
        returned_ns=1_009_160_000,
        deadline_ns=1_016_666_667,
    ),
    Failure(code=ErrorCode.BAD_SLOT, frame_id=8),
    Keepalive(),
    Bye(),
    Query(),
    Load(token="0123456789abcdef"),
    Report(),
]


def shown(value: object) -> str:
    if isinstance(value, IntEnum | bool):
        return f"{int(value)}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def vectors() -> str:
    """The section's text: for each message its values, and its bytes 32 a line."""
    blocks = []
    for message in VECTORS:
        values = [
            f"{name} {shown(value)}"
            for name, value in msgspec.structs.asdict(message).items()
            if value or name == "emulated"
        ]
        lines = [
            encode(message)[at : at + 32].hex(" ") for at in range(0, len(encode(message)), 32)
        ]
        said = textwrap.fill(", ".join(values), 104)
        blocks.append(
            "\n".join(
                [
                    f"{message.kind.name}: {said}".rstrip(": "),
                    "",
                    *(f"    {line}" for line in lines),
                ]
            )
        )
    return "\n" + "\n\n".join(blocks) + "\n\n"


def spec() -> str:
    return SPEC.read_text(encoding="utf-8")


def test_the_vectors_are_what_the_codec_makes() -> None:
    text = spec()
    assert text.partition(BEGIN)[2].partition(END)[0] == vectors(), f"python {__file__}"
    # Read back out of the page itself, as another implementation would.
    blocks = re.findall(r"(?:^    (?:[0-9a-f]{2} ?)+\n)+", text.partition(BEGIN)[2], re.MULTILINE)
    assert [decode(bytes.fromhex(block)) for block in blocks] == VECTORS
    assert {message.kind for message in VECTORS} == set(Kind)


@pytest.mark.parametrize("message", [Hello, Welcome, Frame, Result, Failure, Load])
def test_the_tables_are_the_layout(message: type[Message]) -> None:
    section = (
        spec()
        .partition(f"### {message.kind.name}\n")[2]
        .partition("\n## ")[0]
        .partition("\n### ")[0]
    )
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ?(\w*) \|", section, re.MULTILINE)
    at = 16
    for offset, size, _ in rows:
        assert int(offset) == at
        at += int(size)
    assert at == 16 + message.layout.size
    fields = [name for _, _, name in rows if name]
    assert fields == list(message.__struct_fields__) or set(fields) == set(
        message.__struct_fields__
    )
    # Each field where the table says: changing it changes those bytes and no others.
    example = next(each for each in VECTORS if isinstance(each, message))
    whole = encode(example)
    for offset, size, name in rows:
        if not name:
            continue
        other = msgspec.structs.replace(example, **{name: different(getattr(example, name))})
        changed = {n for n, (a, b) in enumerate(zip(whole, encode(other), strict=True)) if a != b}
        assert changed, name
        assert changed <= set(range(int(offset), int(offset) + int(size))), name


def different(value: object) -> object:
    if isinstance(value, Size):
        return Size(value.width + 1, value.height + 1)
    if isinstance(value, Fraction):
        return Fraction(4, 3)
    if isinstance(value, bool):
        return not value
    if isinstance(value, IntEnum):
        return next(each for each in type(value) if each is not value)
    if isinstance(value, str):
        return value + "x"
    assert isinstance(value, int | float)
    return value + 1


def test_kinds_sizes_and_codes_are_all_there() -> None:
    text = spec()
    kinds = re.findall(r"^\| (\d+) \| ([A-Z]+) \| \w+ \| (\d+) \|", text, re.MULTILINE)
    by_kind = {message.kind: message for message in VECTORS}
    assert [(int(n), name, int(size)) for n, name, size in kinds] == [
        (kind.value, kind.name, len(encode(by_kind[kind]))) for kind in Kind
    ]
    errors = text.partition("## Errors")[2].partition("## Versions")[0]
    codes = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", errors, re.MULTILINE)
    assert [(int(n), name) for n, name in codes] == [(code.value, code.name) for code in ErrorCode]


if __name__ == "__main__":
    head, _, rest = spec().partition(BEGIN)
    SPEC.write_text(head + BEGIN + vectors() + END + rest.partition(END)[2], encoding="utf-8")
