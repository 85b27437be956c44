from __future__ import annotations

from itertools import islice

import numpy as np

from capture.synthetic import STEP, MovingPattern
from protocol.frames import Size


def test_the_pattern_moves_and_is_the_same_in_every_run() -> None:
    with MovingPattern(Size(64, 36), fps=10, frame_count=3) as source:
        frames = list(source)
    assert [each.time_s for each in frames] == [0, 0.1, 0.2]
    assert frames[0].pixels.shape == (36, 64, 3)
    for index, each in enumerate(frames):
        assert np.array_equal(each.pixels, np.roll(frames[0].pixels, STEP * index, axis=1))
        assert not each.repeated
    assert np.array_equal(MovingPattern(Size(64, 36)).picture(2), frames[2].pixels)


def test_repeated_frames_are_not_written_again() -> None:
    memory: list[np.ndarray] = []

    def target() -> np.ndarray:
        memory.append(np.empty((36, 64, 3), np.uint8))
        return memory[-1]

    source = MovingPattern(Size(64, 36), repeats=3)
    frames = list(islice(source.frames(target), 6))
    assert [each.repeated for each in frames] == [False, True, True, False, True, True]
    assert len(memory) == 2
    assert frames[3].pixels is memory[1]
    assert np.array_equal(memory[1], source.picture(3))
