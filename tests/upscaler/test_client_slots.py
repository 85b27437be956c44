from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from protocol.errors import BadRequestError, ErrorCode, ServiceError
from protocol.frames import PixelFormat, Size
from protocol.messages import Outcome, Result, Transport, Welcome
from protocol.slots import result_slot_bytes, segment_bytes, slot_bytes
from upscaler.client_slots import ClientSlots
from upscaler.shared_memory import Segment

SIZE, UPSCALED, FORMAT = Size(8, 4), Size(16, 8), PixelFormat.RGBA8
COUNT = 5
SIZES = {
    "slot_count": COUNT,
    "slot_bytes": slot_bytes(SIZE, FORMAT),
    "result_slot_bytes": result_slot_bytes(UPSCALED, FORMAT),
}
INLINE = Welcome(
    upscaled=UPSCALED,
    credits=COUNT // 2,
    pixel_format=FORMAT,
    method="nearest",
    engine="opencv",
    device="CPU",
    emulated=False,
)


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.make(segment_bytes(**SIZES))
    yield made
    made.unlink()


@pytest.fixture(params=["shared", "inline"])
def slots(request: pytest.FixtureRequest, segment: Segment) -> ClientSlots:
    welcome = INLINE if request.param == "inline" else shared(segment)
    return ClientSlots(welcome, SIZE.shape(FORMAT))


def shared(segment: Segment) -> Welcome:
    fields = {name: getattr(INLINE, name) for name in INLINE.__struct_fields__}
    fields |= SIZES | {"transport": Transport.SHARED_MEMORY, "segment": segment.name}
    return Welcome(**fields)


def result(slot: int) -> Result:
    return Result(
        frame_id=1,
        size=UPSCALED,
        stride=64,
        pixel_format=FORMAT,
        slot=slot,
        outcome=Outcome.UPSCALED,
    )


def acquired(slots: ClientSlots) -> tuple[np.ndarray, int]:
    frame = slots.acquire()
    assert frame is not None
    slot = slots.slot_of(frame)
    assert slot is not None
    return frame, slot


def test_frames_are_handed_out_until_there_are_no_more(slots: ClientSlots) -> None:
    held = [slots.acquire() for _ in range(COUNT)]
    assert all(frame is not None and frame.shape == (4, 8, 4) for frame in held)
    assert slots.acquire() is None
    assert slots.usage() == "5 acquired"
    assert slots.slot_of(np.zeros((4, 8, 4), np.uint8)) is None


def test_a_submitted_frame_cannot_be_written_or_submitted_again(slots: ClientSlots) -> None:
    frame, slot = acquired(slots)
    frame[:] = 7
    slots.submit(slot, frame)
    with pytest.raises(ValueError, match="read-only"):
        frame[:] = 8
    with pytest.raises(BadRequestError, match=r"not yours to submit \(submitted\)") as caught:
        slots.submit(slot, frame)
    assert caught.value.code is ErrorCode.BAD_SLOT


def test_a_view_of_the_whole_may_be_submitted_for_it(slots: ClientSlots) -> None:
    frame, slot = acquired(slots)
    view = frame[:]
    slots.submit(slot, view)
    for array in (frame, view):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 8


def test_a_frame_nobody_holds_any_more_is_free_again(slots: ClientSlots) -> None:
    frame, _ = acquired(slots)
    row = frame[2, 3:]
    del frame
    assert slots.usage() == "4 free, 1 acquired"
    del row
    assert slots.usage() == "5 free"


def test_release_is_idempotent_and_frees_no_later_frame(slots: ClientSlots) -> None:
    frame, slot = acquired(slots)
    slots.release(frame)
    slots.release(frame)
    again, same = acquired(slots)
    assert same == slot
    slots.release(frame)
    assert slots.usage() == "4 free, 1 acquired"
    with pytest.raises(BadRequestError, match="not yours to submit"):
        slots.submit(slot, frame)
    slots.submit(slot, again)


def test_a_frame_that_came_to_nothing_gives_its_slot_back(slots: ClientSlots) -> None:
    frame, slot = acquired(slots)
    slots.submit(slot, frame)
    slots.release(frame)  # the service has it
    assert slots.usage() == "4 free, 1 submitted"
    slots.freed(slot)
    del frame
    assert slots.usage() == "5 free"


def test_a_result_is_the_slots_own_memory_and_holds_it(segment: Segment) -> None:
    slots = ClientSlots(shared(segment), SIZE.shape(FORMAT))
    frame, slot = acquired(slots)
    slots.submit(slot, frame)
    begin = COUNT * SIZES["slot_bytes"] + slot * SIZES["result_slot_bytes"]
    segment.memory[begin : begin + 4] = b"\x01\x02\x03\x04"
    pixels = slots.returned(result(slot))
    assert pixels.shape == (8, 16, 4)
    assert pixels[0, 0].tolist() == [1, 2, 3, 4]
    pixels[7, 15, 3] = 9  # the client's now
    assert segment.memory[begin + 511] == 9
    row = pixels[1]
    del pixels
    assert slots.usage() == "4 free, 1 with results that are still in use"
    del row
    assert slots.usage() == "5 free"


def test_a_released_result_frees_its_slot_at_once(segment: Segment) -> None:
    slots = ClientSlots(shared(segment), SIZE.shape(FORMAT))
    frame, slot = acquired(slots)
    slots.submit(slot, frame)
    pixels = slots.returned(result(slot))
    slots.release(pixels)
    slots.release(pixels)
    assert slots.usage() == "5 free"


def test_rows_may_lie_apart(slots: ClientSlots) -> None:
    frame = slots.acquire(64)
    assert frame is not None
    assert frame.strides == (64, 4, 1)
    with pytest.raises(BadRequestError, match="rows cannot be 31 bytes apart here; choose 32 to"):
        slots.acquire(31)


def test_the_service_sees_rows_where_they_lie(segment: Segment) -> None:
    slots = ClientSlots(shared(segment), SIZE.shape(FORMAT))
    frame = slots.acquire(64)
    assert frame is not None
    frame[1] = 5
    assert segment.memory[64:96] == b"\x05" * 32
    assert segment.memory[96:100] == bytes(4)
    with pytest.raises(BadRequestError, match="rows cannot be 9999 bytes apart"):
        slots.acquire(9999)


def test_arrays_outlive_the_slots(segment: Segment) -> None:
    slots = ClientSlots(shared(segment), SIZE.shape(FORMAT))
    frame, _ = acquired(slots)
    slots.close()
    segment.unlink()
    frame[:] = 3
    assert (frame == 3).all()
    del frame


def test_a_segment_that_is_not_here_is_said() -> None:
    fields = {name: getattr(INLINE, name) for name in INLINE.__struct_fields__}
    with pytest.raises(ServiceError, match="cannot be mapped here"):
        ClientSlots(
            Welcome(**(fields | SIZES | {"segment": "upscaler-" + 32 * "0"})), SIZE.shape(FORMAT)
        )
