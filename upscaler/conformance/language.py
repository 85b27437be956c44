"""The lines that the kit and a client's driver exchange, as docs/conformance.md describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from protocol.errors import ProtocolError

MAX_LINE_BYTES = 1024
OK, ERROR = "ok", "error"


@dataclass(frozen=True, slots=True)
class Line:
    """One command or answer: its first word, and the values by key."""

    word: str
    values: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(
            [self.word, *(f"{key}={encoded(value)}" for key, value in self.values.items())]
        )

    def text(self, key: str) -> str:
        """Return a value; raises ProtocolError when it is missing."""
        try:
            return self.values[key]
        except KeyError as error:
            msg = f"{key}= is missing in {str(self)!r}"
            raise ProtocolError(msg) from error

    def integer(self, key: str) -> int:
        """Return a value as a whole number; raises ProtocolError when it is missing or is none."""
        value = self.text(key)
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 20):
            msg = f"{key}={value} is no whole number in {str(self)!r}"
            raise ProtocolError(msg)
        return int(value)

    def number(self, key: str) -> float:
        """Return a value as a number; raises ProtocolError when it is missing or is none."""
        try:
            return float(self.text(key))
        except ValueError as error:
            msg = f"{key}={self.text(key)} is no number in {str(self)!r}"
            raise ProtocolError(msg) from error


def line_of(word: str, **values: object) -> Line:
    """Make a line of values that are written as `str` writes them."""
    return Line(word, {key: str(value) for key, value in values.items()})


def parse_line(text: str) -> Line:
    """Read a line, without or with its end; raises ProtocolError for what is none."""
    said = text.rstrip("\r\n")
    if not said.isascii() or len(said) > MAX_LINE_BYTES:
        msg = f"a line of {len(said)} characters that are not all ASCII, or too many: {said[:60]!r}"
        raise ProtocolError(msg)
    word, *pairs = said.split(" ")
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            msg = f"{pair[:60]!r} is no key=value in {said[:200]!r}"
            raise ProtocolError(msg)
        values[key] = unquote_to_bytes(value).decode(errors="replace")
    if not word.isidentifier():
        msg = f"a line begins with a word, and not as {said[:60]!r} does"
        raise ProtocolError(msg)
    return Line(word, values)


def encoded(value: str) -> str:
    """Write `%`, spaces and what is not printable ASCII as `%XX`."""
    return "".join(
        chr(byte) if 32 < byte < 127 and byte != ord("%") else f"%{byte:02X}"
        for byte in value.encode()
    )
