"""The schedule in arithmetic alone: clocks that wait are real nowhere here."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.pacing import RECENT, Paced, Pacer
from capture.synthetic import MovingPattern
from protocol.errors import BadRequestError
from protocol.frames import PixelFormat, Size


def test_frames_are_due_on_an_absolute_schedule() -> None:
    pacer = Pacer(10)
    # Each is asked for a little later than the one before: that is not carried along.
    due = [pacer.due(5 + 0.1 * index + 0.01 * index) for index in range(9)]
    assert due == pytest.approx([5 + 0.1 * index for index in range(9)])
    assert pacer.missed == 0


def test_what_was_missed_is_not_made_up_for() -> None:
    pacer = Pacer(10)
    assert pacer.due(0.0) == 0
    assert pacer.due(0.01) == pytest.approx(0.1)
    assert pacer.due(0.47) == pytest.approx(0.4)  # at once, instead of frames 2, 3 and 4
    assert pacer.missed == 2
    assert pacer.due(0.48) == pytest.approx(0.5)


@given(st.floats(1, 240), st.lists(st.floats(0, 0.3), min_size=1, max_size=60), st.floats(0, 1e6))
def test_every_frame_lies_on_the_schedule(fps: float, busy_s: list[float], start_s: float) -> None:
    pacer = Pacer(fps)
    now_s = pacer.due(start_s)
    places = [0]
    for each_s in busy_s:
        now_s = max(now_s + each_s, pacer.due(now_s + each_s))
        place = (now_s - start_s) * fps
        places.append(pacer._last)
        assert place > places[-1] - 0.01
        assert place < places[-1] + 1.01
    assert all(later > earlier for earlier, later in pairwise(places))
    assert pacer.missed == places[-1] - len(busy_s)


@pytest.mark.parametrize("fps", [0.0, -3.0, float("nan"), 5000.0])
def test_a_rate_out_of_range_is_refused(fps: float) -> None:
    with pytest.raises(BadRequestError, match="out of range; choose up to 1000"):
        Pacer(fps)


def test_a_paced_source_waits_for_every_frame() -> None:
    waited: list[float] = []
    with Paced(MovingPattern(Size(32, 16), frame_count=4), 50, wait=waited.append) as source:
        assert (source.size, source.fps, source.frame_count) == (Size(32, 16), 50, 4)
        assert source.pixel_format is PixelFormat.BGR8
        assert len(list(source)) == 4
    assert len(waited) == 5  # the last one for the end
    steps = [later - earlier for earlier, later in pairwise(waited)]
    assert steps == pytest.approx([0.02] * 4, rel=0.01) or source.missed


def test_a_source_that_is_slower_than_asked_says_so() -> None:
    pattern = MovingPattern(Size(640, 360), frame_count=2 * RECENT)
    source = Paced(pattern, 1000, wait=lambda _: None)
    source._pacer.interval_s = 1e-6  # no machine makes frames at that rate
    frames = iter(source)
    next(frames)
    assert source.note == ""
    assert len(list(frames)) == 2 * RECENT - 1
    assert "frames a second, 1000 were asked" in source.note
    pattern._note = "the window is minimised or hidden"
    assert source.note == pattern.note
