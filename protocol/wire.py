"""Codecs for single header fields: how a value becomes little-endian bytes and back."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from fractions import Fraction
from operator import attrgetter
from typing import Any

import msgspec

from protocol.errors import ErrorCode, ProtocolError
from protocol.frames import PixelFormat, Size


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """One field: its `struct` format, the numbers it consists of, and both directions.

    `parts` are the attributes of the value that those numbers are; none means the value itself.
    Numbers pass as they are where there is no `to_wire` or no `from_wire`.
    """

    format: str
    values: int = 1
    parts: tuple[str, ...] = ()
    to_wire: Callable[[Any], Any] | None = None
    from_wire: Callable[..., Any] | None = None


def _plain(code: str) -> Codec:
    return Codec(format=code)


def member(kind: type[IntEnum], code: ErrorCode) -> Codec:
    """One byte, a member of `kind`; any other value raises ProtocolError with `code`."""
    # Looked up at every frame: a call of `kind` takes a microsecond.
    members = {each.value: each for each in kind}

    def from_wire(value: int) -> IntEnum:
        try:
            return members[value]
        except KeyError as error:
            known = ", ".join(f"{each.value} {each.name.lower()}" for each in kind)
            name = {"PixelFormat": "pixel format"}.get(kind.__name__, kind.__name__.lower())
            msg = f"unknown {name} {value}; known are {known}"
            raise ProtocolError(msg, code=code) from error

    return Codec(format="B", from_wire=from_wire)


def text(limit: int) -> Codec:
    """`limit` bytes of UTF-8, padded with zeros; longer text is cut between characters."""

    def to_wire(value: str) -> bytes:
        return value.encode()[:limit].decode(errors="ignore").encode()

    def from_wire(padded: bytes) -> str:
        try:
            return padded.rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            msg = "a text field is not UTF-8"
            raise ProtocolError(msg) from error

    return Codec(format=f"{limit}s", to_wire=to_wire, from_wire=from_wire)


def padding(count: int) -> Codec:
    """`count` zero bytes that keep the next field aligned to its own size."""
    return Codec(format=f"{count}x", values=0)


def _scale(numerator: int, denominator: int) -> Fraction:
    if denominator == 0:
        msg = f"the scale {numerator}/0 is no number"
        raise ProtocolError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
    return Fraction(numerator, denominator)


U16, U32, U64, F32 = (_plain(code) for code in "HIQf")
BOOL = Codec(format="B", from_wire=bool)
SIZE = Codec(format="II", values=2, parts=("width", "height"), from_wire=Size)
SCALE = Codec(format="HH", values=2, parts=("numerator", "denominator"), from_wire=_scale)
PIXEL_FORMAT = member(PixelFormat, ErrorCode.UNSUPPORTED_FORMAT)


class Layout:
    """The fields of one header behind its prefix, in order; names that are "" are padding.

    Headers are packed and unpacked for every frame, so what can be worked out before is.
    """

    def __init__(self, *fields: tuple[str, Codec]) -> None:
        self._struct = struct.Struct("<" + "".join(codec.format for _, codec in fields))
        self.size = self._struct.size
        known = [(name, codec) for name, codec in fields if codec.values]
        self._names = [name for name, _ in known]
        paths: list[str] = []
        self._to_wire: list[tuple[int, Callable[[Any], Any]]] = []
        self._from_wire: list[tuple[int, int, Callable[..., Any]]] = []
        for index, (name, codec) in enumerate(known):
            if codec.to_wire is not None:
                self._to_wire.append((len(paths), codec.to_wire))
            if codec.from_wire is not None:
                self._from_wire.append((index, index + codec.values, codec.from_wire))
            paths += [f"{name}.{part}" for part in codec.parts] or [name]
        # Of a single path it would return no tuple; a second one does no harm.
        self._numbers = attrgetter(*paths, *paths[:1]) if paths else lambda _: ()
        self._count = len(paths)

    def pack(self, message: object) -> bytes:
        """Encode the attributes of `message`."""
        numbers = self._numbers(message)[: self._count]
        if self._to_wire:
            converted = list(numbers)
            for index, to_wire in self._to_wire:
                converted[index] = to_wire(converted[index])
            numbers = tuple(converted)
        return self._struct.pack(*numbers)

    def unpack(self, header: bytes | bytearray | memoryview, offset: int) -> Mapping[str, Any]:
        """Decode the attributes of a message from `offset`; what follows the last is skipped."""
        values = list(self._struct.unpack_from(header, offset))
        for begin, end, from_wire in self._from_wire:
            values[begin:end] = (from_wire(*values[begin:end]),)
        return dict(zip(self._names, values, strict=True))
