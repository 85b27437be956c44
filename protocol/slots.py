"""Shared memory: where slots lie, and whose they are.

A session's segment holds pairs of slots, one for a frame and one for its result. All frames come
first, then all results:

    frame slot i    at  i * slot_bytes
    result slot i   at  slot_count * slot_bytes + i * result_slot_bytes

Both sizes are multiples of a page. A pair belongs to one side at a time, and only its owner reads
or writes it:

    FREE ──acquire──▶ FILLING ──submit──▶ SUBMITTED ──return──▶ RETURNED ──release──▶ FREE
                         │                    │
                         └──release──▶ FREE ◀─┘ (an error, or the frame was dropped)

FREE, FILLING and RETURNED pairs are the client's, SUBMITTED ones the service's: FRAME hands a pair
over, RESULT or ERROR with that frame's id hands it back. So no message says that a result has been
read: the client reuses the pair when it has.
"""

from __future__ import annotations

from enum import IntEnum

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size

PAGE_BYTES = 4096
ROW_BYTES = 512
"""Slots have room for rows padded to this: graphics interfaces copy rows at pitches of 256."""


class SlotState(IntEnum):
    """Where a pair of slots stands."""

    FREE = 1
    FILLING = 2
    SUBMITTED = 3
    RETURNED = 4


class SlotEvent(IntEnum):
    """What moves a pair."""

    ACQUIRE = 1
    SUBMIT = 2
    RETURN = 3
    RELEASE = 4


TRANSITIONS: dict[tuple[SlotState, SlotEvent], SlotState] = {
    (SlotState.FREE, SlotEvent.ACQUIRE): SlotState.FILLING,
    (SlotState.FILLING, SlotEvent.SUBMIT): SlotState.SUBMITTED,
    (SlotState.FILLING, SlotEvent.RELEASE): SlotState.FREE,
    (SlotState.SUBMITTED, SlotEvent.RETURN): SlotState.RETURNED,
    (SlotState.SUBMITTED, SlotEvent.RELEASE): SlotState.FREE,
    (SlotState.RETURNED, SlotEvent.RELEASE): SlotState.FREE,
}


class SlotTable:
    """The client's knowledge of its pairs."""

    def __init__(self, count: int) -> None:
        self._states = [SlotState.FREE] * count

    def __len__(self) -> int:
        return len(self._states)

    def state(self, slot: int) -> SlotState:
        """Where `slot` stands; raises BadRequestError (BAD_SLOT) for a number out of range."""
        if not 0 <= slot < len(self._states):
            msg = f"slot {slot} is out of range; this session has 0 to {len(self._states) - 1}"
            raise BadRequestError(msg, code=ErrorCode.BAD_SLOT)
        return self._states[slot]

    def move(self, slot: int, event: SlotEvent) -> None:
        """Take one legal step; raises BadRequestError (BAD_SLOT) for any other."""
        state = self.state(slot)
        try:
            self._states[slot] = TRANSITIONS[state, event]
        except KeyError as error:
            msg = f"{event.name.lower()} of slot {slot}, which is {state.name.lower()}"
            raise BadRequestError(msg, code=ErrorCode.BAD_SLOT) from error

    def acquire(self) -> int | None:
        """Take a free pair, or None when there is none."""
        for slot, state in enumerate(self._states):
            if state is SlotState.FREE:
                self._states[slot] = SlotState.FILLING
                return slot
        return None

    def count(self, state: SlotState) -> int:
        """How many pairs stand at `state`."""
        return self._states.count(state)


def slot_count(credit_count: int) -> int:
    """Pairs of a session: in flight, as many with results in use, and one that is being filled."""
    return 2 * credit_count + 1


def slot_bytes(size: Size, pixel_format: PixelFormat) -> int:
    """Size of a slot for frames of `size`, whose rows may be padded to `ROW_BYTES`."""
    row = _rounded_up(size.width * pixel_format.channels, ROW_BYTES)
    return _rounded_up(row * size.height, PAGE_BYTES)


def result_slot_bytes(size: Size, pixel_format: PixelFormat) -> int:
    """Size of a slot for results of `size`, whose rows follow one another without a gap."""
    return _rounded_up(size.pixels * pixel_format.channels, PAGE_BYTES)


def frame_offset(slot: int, *, slot_bytes: int) -> int:
    """Where the frame of a pair begins in the segment, in bytes."""
    return slot * slot_bytes


def result_offset(slot: int, *, slot_count: int, slot_bytes: int, result_slot_bytes: int) -> int:
    """Where the result of a pair begins in the segment, in bytes."""
    return slot_count * slot_bytes + slot * result_slot_bytes


def segment_bytes(*, slot_count: int, slot_bytes: int, result_slot_bytes: int) -> int:
    """Size of a whole segment."""
    return slot_count * (slot_bytes + result_slot_bytes)


def _rounded_up(value: int, step: int) -> int:
    return -(-value // step) * step
