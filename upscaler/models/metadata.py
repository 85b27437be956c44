"""Reads one metadata entry of an ONNX file without the onnx package.

Importing onnx takes 0.2 s, longer than everything else the command line does before its first
line of output. A model is one protobuf message; the weights are one of its fields, and a field
carries its length, so they are skipped and not read.
Format: https://protobuf.dev/programming-guides/encoding and onnx.proto (ModelProto).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

METADATA_PROPS = 14
KEY, VALUE = 1, 2
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MAX_ENTRY_BYTES = 1 << 20


def read_metadata(path: Path, key: str) -> str | None:
    """Return the metadata entry `key` of the ONNX file at `path`, None if it has no such entry.

    Raises ValueError when the file is no protobuf message, and OSError when it cannot be read.
    """
    with path.open("rb") as file:
        end = path.stat().st_size
        while file.tell() < end:
            number, length = _field(file, end)
            if number != METADATA_PROPS:
                file.seek(length, 1)
                continue
            if length > MAX_ENTRY_BYTES:
                msg = f"a metadata entry of {length} bytes"
                raise ValueError(msg)
            stop = file.tell() + length
            entry = {KEY: "", VALUE: ""}
            while file.tell() < stop:
                part, length = _field(file, stop)
                entry[part] = file.read(length).decode()
            if entry[KEY] == key:
                return entry[VALUE]
    return None


def _field(file: BinaryIO, end: int) -> tuple[int, int]:
    """Read a field's head; return its number and how many bytes of payload follow."""
    head = _varint(file)
    number, kind = head >> 3, head & 7
    if kind == VARINT:
        _varint(file)
        length = 0
    elif kind in (FIXED64, FIXED32):
        length = 8 if kind == FIXED64 else 4
    elif kind == LENGTH:
        length = _varint(file)
    else:
        msg = f"unknown wire type {kind}"
        raise ValueError(msg)
    if number == 0 or file.tell() + length > end:
        msg = "a field that ends after the file"
        raise ValueError(msg)
    return number, length


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            msg = "the file ends inside a number"
            raise ValueError(msg)
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    msg = "a number of more than 64 bits"
    raise ValueError(msg)
