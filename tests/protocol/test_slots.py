from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from protocol.slots import (
    PAGE_BYTES,
    TRANSITIONS,
    SlotEvent,
    SlotState,
    SlotTable,
    frame_offset,
    result_offset,
    result_slot_bytes,
    segment_bytes,
    slot_bytes,
)


def test_a_pair_goes_there_and_back() -> None:
    table = SlotTable(2)
    assert (table.acquire(), table.acquire(), table.acquire()) == (0, 1, None)
    for event in (SlotEvent.SUBMIT, SlotEvent.RETURN, SlotEvent.RELEASE):
        table.move(1, event)
    assert (table.state(0), table.state(1)) == (SlotState.FILLING, SlotState.FREE)
    assert table.count(SlotState.FREE) == 1
    assert table.acquire() == 1


@pytest.mark.parametrize(("state", "event"), list(product(SlotState, SlotEvent)))
def test_what_is_not_in_the_table_is_an_error(state: SlotState, event: SlotEvent) -> None:
    table = SlotTable(1)
    table._states[0] = state
    if (state, event) in TRANSITIONS:
        table.move(0, event)
        assert table.state(0) is TRANSITIONS[state, event]
        return
    with pytest.raises(BadRequestError, match="of slot 0, which is") as caught:
        table.move(0, event)
    assert caught.value.code is ErrorCode.BAD_SLOT
    assert table.state(0) is state


@pytest.mark.parametrize("slot", [-1, 2, 0xFFFF])
def test_a_slot_out_of_range_is_named(slot: int) -> None:
    with pytest.raises(BadRequestError, match=f"slot {slot} is out of range; this session has 0"):
        SlotTable(2).state(slot)


@given(
    st.builds(Size, st.integers(1, 4096), st.integers(1, 4096)),
    st.sampled_from(PixelFormat),
    st.integers(1, 8),
)
def test_slots_lie_on_pages_and_never_overlap(
    size: Size, pixel_format: PixelFormat, count: int
) -> None:
    large = Size(size.width * 2, size.height * 2)
    sizes = {
        "slot_bytes": slot_bytes(size, pixel_format),
        "result_slot_bytes": result_slot_bytes(large, pixel_format),
    }
    assert sizes["slot_bytes"] >= size.pixels * pixel_format.channels
    assert sizes["result_slot_bytes"] >= large.pixels * pixel_format.channels
    spans = [
        (frame_offset(slot, slot_bytes=sizes["slot_bytes"]), sizes["slot_bytes"])
        for slot in range(count)
    ]
    spans += [
        (result_offset(slot, slot_count=count, **sizes), sizes["result_slot_bytes"])
        for slot in range(count)
    ]
    end = 0
    for begin, length in spans:
        assert begin == end
        assert begin % PAGE_BYTES == 0
        end += length
    assert end == segment_bytes(slot_count=count, **sizes)


def test_a_graphics_interfaces_pitch_has_room() -> None:
    assert slot_bytes(Size(960, 540), PixelFormat.RGBA8) >= 540 * 4096
