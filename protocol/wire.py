"""Codecs for single header fields: how a value becomes little-endian bytes and back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from fractions import Fraction
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


class _Members(dict[int, IntEnum]):
    """The members of `kind` by value: a call of `kind` would take a microsecond of every frame."""

    def __init__(self, kind: type[IntEnum], code: ErrorCode) -> None:
        super().__init__((each.value, each) for each in kind)
        self._kind, self._code = kind, code

    def __missing__(self, value: int) -> IntEnum:
        known = ", ".join(f"{each.value} {each.name.lower()}" for each in self._kind)
        name = {"PixelFormat": "pixel format"}.get(self._kind.__name__, self._kind.__name__.lower())
        msg = f"unknown {name} {value}; known are {known}"
        raise ProtocolError(msg, code=self._code)


def member(kind: type[IntEnum], code: ErrorCode) -> Codec:
    """One byte, a member of `kind`; any other value raises ProtocolError with `code`."""
    return Codec(format="B", from_wire=_Members(kind, code).__getitem__)


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
    """The fields of one header behind its prefix, in order; names that are "" are padding."""

    def __init__(self, *fields: tuple[str, Codec]) -> None:
        self._format = "".join(codec.format for _, codec in fields)
        self._fields = [(name, codec) for name, codec in fields if codec.values]
        self.size = struct.calcsize("<" + self._format)

    def packer(self, prefix: bytes) -> Callable[[Any], bytes]:
        """Return a function that encodes the attributes of a message behind `prefix`."""
        known: dict[str, Any] = {
            "pack": struct.Struct(f"<{len(prefix)}s{self._format}").pack,
            "prefix": prefix,
        }
        numbers = ["prefix"]
        for name, codec in self._fields:
            value = f"message.{name}"
            if codec.to_wire is not None:
                known[f"{name}_to_wire"] = codec.to_wire
                value = f"{name}_to_wire({value})"
            numbers += [f"{value}.{part}" for part in codec.parts] or [value]
        return _written(f"lambda message: pack({', '.join(numbers)})", known)

    def unpacker(self, message_type: type[Any], prefix_size: int) -> Callable[[Any], Any]:
        """Return a function that decodes a header, of which it skips what follows the last field.

        It raises what the codecs raise, and nothing for a header that is long enough.
        """
        known: dict[str, Any] = {
            "unpack": struct.Struct(f"<{prefix_size}x{self._format}").unpack_from,
            "message_type": message_type,
        }
        numbers: list[str] = []
        attributes = []
        for name, codec in self._fields:
            new = [f"n{len(numbers) + index}" for index in range(codec.values)]
            numbers += new
            value = ", ".join(new)
            if codec.from_wire is not None:
                known[f"{name}_from_wire"] = codec.from_wire
                value = f"{name}_from_wire({value})"
            attributes.append(f"{name}={value}")
        made = f"message_type({', '.join(attributes)})"
        known["make"] = _written(f"lambda {', '.join(numbers)}: {made}", known)
        return _written("lambda header: make(*unpack(header))", known)


def _written(source: str, known: dict[str, Any]) -> Callable[..., Any]:
    """Return the function that `source` is of, written out of names that stand in this project.

    A loop over the fields takes four times as long, for two messages of every frame on either side;
    `namedtuple` and `dataclass` write their methods the same way.
    """
    function: Callable[..., Any] = eval(source, known)  # noqa: S307
    return function
