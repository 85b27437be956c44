from __future__ import annotations

import numpy as np
import pytest

from protocol.errors import ServiceError
from protocol.frames import PixelFormat, Size
from protocol.messages import Frame
from protocol.session import ReceivedFrame
from upscaler.service import pixels
from upscaler.service.pixels import Dense, InlinePixels, SharedPixels, welcome_fields
from upscaler.shared_memory import Segment, folder
from upscaler.transport import Delivery

SIZE, FORMAT = Size(8, 4), PixelFormat.RGB8
RESULT = (8, 16, 3)


class Pending(Delivery):
    done = False


def received(*, stride: int = 24, slot: int = 0xFFFF, data: bytes | None = None) -> ReceivedFrame:
    frame = Frame(frame_id=1, size=SIZE, stride=stride, pixel_format=FORMAT, slot=slot)
    return ReceivedFrame(frame=frame, pixels=None if data is None else memoryview(data))


def shared() -> SharedPixels:
    return SharedPixels(SIZE, Size(16, 8), FORMAT, credit_count=2)


def test_an_inline_frame_is_a_view_of_what_came() -> None:
    data = bytes(range(4 * 32))
    inline = InlinePixels(RESULT, limit=1)
    source = inline.source(received(stride=32, data=data))
    assert source.shape == (4, 8, 3)
    assert source.strides == (32, 3, 1)
    assert source[3, 7].tolist() == [117, 118, 119]
    assert np.shares_memory(source, np.frombuffer(data, np.uint8))


def test_an_inline_result_is_not_reused_while_it_is_being_sent() -> None:
    inline = InlinePixels((2, 2, 3), limit=2)
    one = received(data=b"")
    first = inline.take(one)
    assert first is not None
    first.delivery = Pending()
    inline.give_back(first)
    second = inline.take(one)
    assert second is not None
    assert second is not first
    inline.give_back(second)
    assert inline.take(one) is second
    assert inline.take(one) is None
    first.delivery = Delivery()
    assert inline.take(one) is first


def test_slots_are_read_and_written_where_they_lie() -> None:
    slots = shared()
    fields = welcome_fields(slots)
    assert fields["slot_count"] == 5
    opened = Segment.open(slots.segment, 5 * (4096 + 4096)).memory
    opened[2 * 4096 : 2 * 4096 + 3] = b"\x01\x02\x03"
    assert slots.source(received(slot=2))[0, 0].tolist() == [1, 2, 3]
    result = slots.take(received(slot=2))
    assert result is not None
    assert result.pixels.shape == RESULT
    result.pixels[0, 0] = 9
    assert opened[7 * 4096 : 7 * 4096 + 3] == b"\x09\x09\x09"
    assert slots.take(received(slot=2)) is result
    slots.close()


def test_a_closed_segment_lives_as_long_as_a_frame_in_it() -> None:
    slots = shared()
    name = slots.segment
    source = slots.source(received(slot=1))
    slots.close()
    assert not (folder() / name).exists()
    assert source.sum() == 0


def test_padded_rows_are_made_dense_in_the_same_memory_each_time() -> None:
    slots, dense = shared(), Dense()
    padded = slots.source(received(slot=0, stride=40))
    assert padded.strides == (40, 3, 1)
    padded[...] = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
    first = dense(padded)
    assert first.flags.c_contiguous
    assert np.array_equal(first, padded)
    assert dense(padded) is first
    tight = slots.source(received(slot=0))
    assert dense(tight) is tight
    slots.close()


def test_nothing_is_said_of_slots_that_there_are_not() -> None:
    assert welcome_fields(InlinePixels(RESULT, limit=1)) == {}


def test_no_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "slot_bytes", lambda *_: 1 << 50)
    with pytest.raises(ServiceError, match="cannot be had"):
        shared()
