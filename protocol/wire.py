"""Codecs for single header fields: how a value becomes little-endian bytes and back."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Any

from protocol.errors import ErrorCode, ProtocolError
from protocol.frames import PixelFormat, Size


@dataclass(frozen=True, slots=True)
class Codec:
    """One field: its `struct` format, the numbers it consists of, and both directions."""

    format: str
    values: int
    to_wire: Callable[[Any], tuple[Any, ...]]
    from_wire: Callable[..., Any]


def _plain(code: str) -> Codec:
    return Codec(code, 1, lambda value: (value,), lambda value: value)


def member(kind: type[IntEnum], code: ErrorCode) -> Codec:
    """One byte, a member of `kind`; any other value raises ProtocolError with `code`."""

    def from_wire(value: int) -> IntEnum:
        try:
            return kind(value)
        except ValueError as error:
            known = ", ".join(f"{each.value} {each.name.lower()}" for each in kind)
            name = {"PixelFormat": "pixel format"}.get(kind.__name__, kind.__name__.lower())
            msg = f"unknown {name} {value}; known are {known}"
            raise ProtocolError(msg, code=code) from error

    return Codec("B", 1, lambda value: (int(value),), from_wire)


def text(limit: int) -> Codec:
    """`limit` bytes of UTF-8, padded with zeros; longer text is cut between characters."""

    def to_wire(value: str) -> tuple[bytes]:
        return (value.encode()[:limit].decode(errors="ignore").encode(),)

    def from_wire(padded: bytes) -> str:
        try:
            return padded.rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            msg = "a text field is not UTF-8"
            raise ProtocolError(msg) from error

    return Codec(f"{limit}s", 1, to_wire, from_wire)


def padding(count: int) -> Codec:
    """`count` zero bytes that keep the next field aligned to its own size."""
    return Codec(f"{count}x", 0, lambda _: (), lambda: None)


def _scale(numerator: int, denominator: int) -> Fraction:
    if denominator == 0:
        msg = f"the scale {numerator}/0 is no number"
        raise ProtocolError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
    return Fraction(numerator, denominator)


U16, U32, U64, F32 = (_plain(code) for code in "HIQf")
BOOL = Codec("B", 1, lambda value: (int(value),), bool)
SIZE = Codec("II", 2, lambda size: (size.width, size.height), Size)
SCALE = Codec("HH", 2, lambda scale: (scale.numerator, scale.denominator), _scale)
PIXEL_FORMAT = member(PixelFormat, ErrorCode.UNSUPPORTED_FORMAT)


class Layout:
    """The fields of one header behind its prefix, in order; names that are "" are padding."""

    def __init__(self, *fields: tuple[str, Codec]) -> None:
        self._fields = fields
        self._struct = struct.Struct("<" + "".join(codec.format for _, codec in fields))
        self.size = self._struct.size

    def pack(self, message: object) -> bytes:
        """Encode the attributes of `message`."""
        values: list[Any] = []
        for name, codec in self._fields:
            values += codec.to_wire(getattr(message, name) if name else None)
        return self._struct.pack(*values)

    def unpack(self, body: memoryview) -> Mapping[str, Any]:
        """Decode the attributes of a message; bytes behind the last field are skipped."""
        values = iter(self._struct.unpack_from(body))
        decoded: dict[str, Any] = {}
        for name, codec in self._fields:
            value = codec.from_wire(*(next(values) for _ in range(codec.values)))
            if name:
                decoded[name] = value
        return decoded
