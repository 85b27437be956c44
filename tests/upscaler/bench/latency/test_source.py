from __future__ import annotations

import numpy as np
import pytest

from protocol.errors import BadImageError
from protocol.frames import PixelFormat, Size
from upscaler.bench.latency.source import (
    MOST_BYTES,
    MOST_FRAMES,
    Source,
    clip_source,
    synthetic_source,
)


def test_the_clip_is_of_a_game() -> None:
    source = clip_source()
    frames = source.frames(Size(64, 36), PixelFormat.RGBA8)
    assert (source.name, len(frames)) == ("clip", MOST_FRAMES)
    assert all(frame.shape == (36, 64, 4) and frame[..., 3].min() == 255 for frame in frames)
    assert frames is source.frames(Size(64, 36), PixelFormat.RGBA8)


def test_made_up_frames_are_the_same_everywhere_and_move() -> None:
    one, other = synthetic_source(), synthetic_source()
    first, second = (one.frames(Size(40, 20), PixelFormat.BGR8)[at] for at in (0, 1))
    assert np.array_equal(first, other.frames(Size(40, 20), PixelFormat.BGR8)[0])
    assert not np.array_equal(first, second)


def test_large_frames_are_few() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    source = Source(name="mine", pictures=[picture] * 20)
    size = Size(4096, 2160)
    frames = source.frames(size, PixelFormat.RGBA8)
    assert len(frames) == 2
    assert len(frames) * frames[0].nbytes > MOST_BYTES


def test_a_source_needs_a_frame() -> None:
    with pytest.raises(BadImageError, match="the source mine has no frame"):
        Source(name="mine", pictures=[])
