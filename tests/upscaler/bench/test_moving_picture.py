from __future__ import annotations

import numpy as np
import pytest

from capture.screen import open_titled
from protocol.errors import CaptureError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.bench.moving_picture import STEP, MovingPicture


def test_the_picture_moves_when_it_is_told_to(screen: str) -> None:
    assert screen
    first = game_frame(Size(64, 36), PixelFormat.BGRA8)[:, :, :3]
    with MovingPicture("moving", Size(64, 36)) as window, open_titled("moving") as source:
        frames = iter(source)
        assert np.array_equal(next(frames).pixels[:, :, :3], first)
        assert next(frames).repeated
        window.draw()
        assert np.array_equal(next(frames).pixels[:, :, :3], np.roll(first, STEP, axis=1))


def test_a_window_that_does_not_open_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CaptureError, match="there is no display to open a window on"):
        MovingPicture("moving", Size(64, 36))
