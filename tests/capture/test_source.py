from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from capture.source import BaseSource, CapturedFrame, Target, delivered

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


class Empty(BaseSource):
    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:  # noqa: ARG002
        return iter(())


def test_sources_close_with_their_block_and_have_nothing_to_say() -> None:
    with Empty() as source:
        assert (source.note, source.resized) == ("", None)
        assert list(source) == []
    with pytest.raises(TypeError, match="frames"):
        BaseSource()  # type: ignore[abstract]
