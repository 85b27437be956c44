"""The client's memory for frames and results: arrays over slots, and whose they are.

Which side may write when is `protocol.slots`'. Here the arrays that a caller holds keep to it: an
array becomes read-only when it is submitted, and a slot is free again when it is released, or when
the last array that looks into it has gone. Slices that the caller took of an array before it was
submitted cannot be found, and stay writable: they must be left alone.
"""

from __future__ import annotations

import mmap
import weakref

import numpy as np

from protocol.errors import BadRequestError, ErrorCode, ServiceError
from protocol.frames import Size
from protocol.geometry import max_stride
from protocol.messages import Result, Welcome
from protocol.slots import (
    SlotEvent,
    SlotState,
    SlotTable,
    frame_offset,
    result_offset,
    slot_bytes,
    slot_count,
)
from upscaler.contract import Frame
from upscaler.shared_memory import Segment

WORDS = {
    SlotState.FREE: "free",
    SlotState.FILLING: "acquired",
    SlotState.SUBMITTED: "submitted",
    SlotState.RETURNED: "with results that are still in use",
}

MANY_IDS = 1000
"""Identities of arrays that may have gone, before they are forgotten."""


class _Root(weakref.ref[Frame]):
    """The array that all views of a slot refer to, and which slot that is."""

    __slots__ = ("slot",)

    slot: int


class ClientSlots:
    """Pairs of slots in the segment that a welcome offers; without one, memory for frames alone."""

    def __init__(self, welcome: Welcome, shape: tuple[int, int, int]) -> None:
        """`shape` is the frames'; raises ServiceError for a segment that is no use for them."""
        self._shape = shape
        self.shared = bool(welcome.segment)
        row = shape[1] * shape[2]
        if self.shared:
            _check_slots(welcome, row * shape[0])
            count = welcome.slot_count
            sizes = {
                "slot_count": count,
                "slot_bytes": welcome.slot_bytes,
                "result_slot_bytes": welcome.result_slot_bytes,
            }
            self._memory = Segment.open(welcome.segment, result_offset(count, **sizes)).memory
            self._results = [result_offset(slot, **sizes) for slot in range(count)]
            frame_bytes = welcome.slot_bytes
        else:
            count = slot_count(welcome.credits)
            frame_bytes = slot_bytes(Size(shape[1], shape[0]), welcome.pixel_format)
            self._memory = mmap.mmap(-1, count * frame_bytes)
            self._results = []
        self._max_stride = min(max_stride(row), frame_bytes // shape[0])
        self._frames = [frame_offset(slot, slot_bytes=frame_bytes) for slot in range(count)]
        self._table = SlotTable(count)
        # What every view of a slot refers to, and the one that was handed out.
        self._roots: list[_Root | None] = [None] * count
        self._views: list[weakref.ref[Frame] | None] = [None] * count
        self._by_id: dict[int, int] = {}
        begin = _address(np.frombuffer(self._memory, np.uint8))
        self._slots = {
            begin + offset: slot
            for offsets in (self._frames, self._results)
            for slot, offset in enumerate(offsets)
        }

    def acquire(self, stride: int | None = None) -> Frame | None:
        """Return a free slot as a writable frame, or None when there is none.

        Rows are `stride` bytes apart, without a gap when None. Raises BadRequestError
        (PIXELS_MISMATCH) for a stride that the slot has no room for.
        """
        _, width, channels = self._shape
        row = width * channels
        if stride is not None and not row <= stride <= self._max_stride:
            msg = f"rows cannot be {stride} bytes apart here; choose {row} to {self._max_stride}"
            raise BadRequestError(msg, code=ErrorCode.PIXELS_MISMATCH)
        slot = self._table.acquire()
        if slot is None:
            return None
        return self._hold(slot, self._frames[slot], self._shape, stride or row)

    def slot_of(self, frame: Frame) -> int | None:
        """Which slot `frame` is the whole of; None for an array of the caller's own."""
        known = self._by_id.get(id(frame))  # an address takes microseconds
        if known is not None and (view := self._views[known]) is not None and view() is frame:
            return known
        return self._slots.get(_address(frame))

    def submit(self, slot: int, frame: Frame) -> None:
        """Give an acquired slot away: `frame`, which is that slot, becomes read-only.

        Raises BadRequestError (BAD_SLOT) for an array that has been submitted or released.
        """
        if not self._is_current(slot, frame) or self._table.state(slot) is not SlotState.FILLING:
            state = WORDS[self._table.state(slot)]
            msg = f"slot {slot} is not yours to submit ({state}); acquire() another"
            raise BadRequestError(msg, code=ErrorCode.BAD_SLOT)
        view = self._views[slot]
        acquired = None if view is None else view()
        self._forget(slot)
        for array in (frame, acquired):
            if array is not None:
                array.flags.writeable = False
        self._table.move(slot, SlotEvent.SUBMIT)

    def returned(self, result: Result) -> Frame:
        """Take a pair of shared slots back, and return the result in it, (height, width, channels).

        The pair is held until the last array over the result has gone, or `release`.
        """
        self._table.move(result.slot, SlotEvent.RETURN)
        shape = result.size.shape(result.pixel_format)
        return self._hold(result.slot, self._results[result.slot], shape, result.stride)

    def freed(self, slot: int) -> None:
        """Take back a submitted slot that holds no result."""
        self._table.move(slot, SlotEvent.RELEASE)

    def release(self, frame: Frame) -> None:
        """Free the slot of an acquired frame or of a result. Idempotent; ignores other arrays."""
        slot = self.slot_of(frame)
        if slot is not None and self._is_current(slot, frame):
            self._forget(slot)
            self._table.move(slot, SlotEvent.RELEASE)

    def usage(self) -> str:
        """Where the slots are, in words, such as "2 acquired, 2 submitted"."""
        counts = ((self._table.count(state), state) for state in SlotState)
        said = [f"{count} {WORDS[state]}" for count, state in counts if count]
        return ", ".join(said)

    def close(self) -> None:
        """Let go of the memory, which lives as long as the arrays over it."""
        for slot in range(len(self._table)):
            self._forget(slot)
        self._slots.clear()
        del self._memory

    def _hold(self, slot: int, begin: int, shape: tuple[int, int, int], stride: int) -> Frame:
        """See a slot's memory as a frame; the slot is free again when nobody does any more.

        NumPy lets every view refer to the array that was made from the buffer. That is a new one
        each time, and its end is the last view's.
        """
        height, width, channels = shape
        root = np.frombuffer(self._memory, np.uint8, height * stride, begin)
        dense = stride == width * channels
        rows = root if dense else root.reshape(height, stride)[:, : width * channels]
        view: Frame = rows.reshape(shape)
        self._roots[slot] = reference = _Root(root, self._gone)
        reference.slot = slot
        self._views[slot] = weakref.ref(view)
        self._by_id[id(view)] = slot
        return view

    def _gone(self, root: weakref.ref[Frame]) -> None:
        assert isinstance(root, _Root)
        if self._roots[root.slot] is root:
            self._forget(root.slot)
            self._table.move(root.slot, SlotEvent.RELEASE)

    def _is_current(self, slot: int, frame: Frame) -> bool:
        reference = self._roots[slot]
        return reference is not None and frame.base is reference()

    def _forget(self, slot: int) -> None:
        self._roots[slot] = self._views[slot] = None
        if len(self._by_id) > MANY_IDS:
            self._by_id.clear()


def _check_slots(welcome: Welcome, frame_bytes: int) -> None:
    """Raise ServiceError (UNSUPPORTED_TRANSPORT) for slots that frames or results do not fit in."""
    result_bytes = welcome.upscaled.pixels * welcome.pixel_format.channels
    if (
        welcome.slot_count < 1
        or welcome.slot_bytes < frame_bytes
        or welcome.result_slot_bytes < result_bytes
    ):
        msg = (
            f"the service offers {welcome.slot_count} slots of {welcome.slot_bytes} and "
            f"{welcome.result_slot_bytes} bytes, which a frame of {frame_bytes} and its result of "
            f"{result_bytes} do not fit in"
        )
        raise ServiceError(msg, code=ErrorCode.UNSUPPORTED_TRANSPORT)


def _address(frame: Frame) -> int:
    address: int = frame.__array_interface__["data"][0]
    return address
