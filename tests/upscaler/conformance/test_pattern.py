"""The pattern, byte by byte, and checksums of rows that lie apart."""

from __future__ import annotations

import numpy as np

from protocol.frames import PixelFormat, Size
from upscaler.conformance.pattern import checksum, fill, pattern


def test_every_byte_is_as_the_page_says() -> None:
    frame = pattern(7, Size(9, 5), PixelFormat.RGB8)
    for y in range(5):
        for x in range(27):
            assert frame[y, x // 3, x % 3] == (7 * 31 + x * 3 + y * 5 + ((x * y) >> 3)) & 255


def test_gaps_between_rows_are_left_alone_and_not_summed() -> None:
    memory = np.full((5, 40), 99, np.uint8)
    frame = memory[:, :27].reshape(5, 9, 3)
    fill(frame, 7)
    assert (memory[:, 27:] == 99).all()
    assert checksum(frame) == checksum(pattern(7, Size(9, 5), PixelFormat.RGB8))
    # The CRC-32 of "123456789" that every implementation states.
    assert checksum(np.frombuffer(b"123456789", np.uint8).reshape(1, 3, 3)) == "cbf43926"
