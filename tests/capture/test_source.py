from __future__ import annotations

import numpy as np
import pytest

from capture.source import BaseSource, delivered

ONE, OTHER = np.zeros((2, 3, 3), np.uint8), np.ones((2, 3, 3), np.uint8)


def test_a_new_frame_is_written_into_memory_of_the_caller() -> None:
    mine = np.full((2, 3, 3), 9, np.uint8)
    frame = delivered(OTHER, ONE, 0.5, lambda: mine)
    assert frame.pixels is mine
    assert np.array_equal(mine, OTHER)
    assert (frame.time_s, frame.repeated) == (0.5, False)
    assert delivered(OTHER, None, 0, None).pixels is OTHER


def test_a_repeated_frame_is_not() -> None:
    def target() -> np.ndarray:
        raise AssertionError

    frame = delivered(ONE.copy(), ONE, 0, target)
    assert frame.repeated


def test_sources_close_with_their_block_and_have_nothing_to_say() -> None:
    with BaseSource() as source:
        assert (source.note, source.resized) == ("", None)
    with pytest.raises(NotImplementedError):
        iter(source)
