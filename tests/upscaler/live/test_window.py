"""The window on a real X server; keys come from the server, as a keyboard's do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from capture.screen import open_titled
from protocol.errors import CaptureError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.live.window import Keys, LiveWindow

SIZE = Size(320, 180)
LOOKS = 2000
Press = Callable[[str], None]


@pytest.fixture
def press(screen: str) -> Iterator[Press]:
    """Press a key, with the pointer over the window: without a window manager that is focus."""
    from Xlib import XK, X, display
    from Xlib.ext import xtest

    server = display.Display(screen)
    xtest.fake_input(server, X.MotionNotify, x=60, y=60)

    def press(name: str) -> None:
        code = server.keysym_to_keycode(XK.string_to_keysym(name))
        xtest.fake_input(server, X.KeyPress, code)
        xtest.fake_input(server, X.KeyRelease, code)
        server.sync()

    yield press
    server.close()


def wait_for(window: LiveWindow, done: Callable[[Keys], bool]) -> Keys:
    """Look at the keys until they are what the test waits for."""
    for _ in range(LOOKS):
        keys = window.keys()
        if done(keys):
            return keys
        window._pygame.time.wait(2)
    raise AssertionError


def seen(title: str) -> Any:
    """What a person sees of the window, (height, width, 3) uint8, blue first."""
    with open_titled(title) as source:
        return next(iter(source)).pixels[:, :, :3].copy()


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_a_frame_is_seen_as_it_is(screen: str, pixel_format: PixelFormat) -> None:
    assert screen
    frame = game_frame(SIZE, pixel_format)
    if pixel_format.channels == 4:
        frame[:, :, 3] = 0  # what X has there
    with LiveWindow("picture", SIZE, pixel_format) as window:
        assert window.size == SIZE
        window.show(frame)
        assert np.array_equal(seen("picture"), game_frame(SIZE, PixelFormat.BGR8))


def test_a_picture_is_fitted_into_another_size(screen: str) -> None:
    assert screen
    large = Size(1600, 600)  # the screen has 800 columns
    with LiveWindow("picture", large, PixelFormat.BGRA8) as window:
        assert window.size == Size(800, 300)
        window.show(np.full((300, 600, 4), 90, np.uint8))  # of another aspect, too
        shown = seen("picture")
        assert shown.shape == (300, 800, 3)
        assert (shown[:, 110:690] == 90).all()
        assert not shown[:, :90].any()


def test_keys(press: Press) -> None:
    with LiveWindow("picture", SIZE, PixelFormat.BGR8) as window:
        frame = game_frame(SIZE, PixelFormat.BGR8)
        window.show(frame)
        press("3")
        assert wait_for(window, lambda keys: keys.method is not None).method == 2
        window.say(["quicksrnet-small 30 fps", "a second line"])
        window.show(frame)
        assert not np.array_equal(seen("picture"), frame)
        press("h")
        wait_for(window, lambda _: not window.words_shown)
        window.show(frame)
        assert np.array_equal(seen("picture"), frame)
        press("f")
        wait_for(window, lambda _: window.full_screen)
        window.show(frame)
        assert window.size == Size(800, 600)
        press("f")
        wait_for(window, lambda _: not window.full_screen)
        window.show(frame)
        assert np.array_equal(seen("picture"), frame)
        press("Escape")
        wait_for(window, lambda keys: keys.quit)


def test_a_display_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame")
    for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(CaptureError, match=r"cannot open a window.*; use --to browser, or a file"):
        LiveWindow("picture", SIZE, PixelFormat.BGR8)


def test_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CaptureError, match="no display to open a window on; use --to browser"):
        LiveWindow("picture", SIZE, PixelFormat.BGR8)
