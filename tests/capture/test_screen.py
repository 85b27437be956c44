"""Captures of a real X server, Xvfb, with a real window on it: see tests/conftest.py."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture.screen import HIDDEN, OUTSIDE, open_monitor, open_region, open_titled
from capture.windows import Region
from protocol.errors import CaptureError
from protocol.frames import PixelFormat, Size

Show = Callable[..., Any]
BLUE, RED = (0xC0, 0x60, 0x30), (0, 0, 255)
BLUE_INVERSE = tuple(255 - level for level in BLUE)


def colours(pixels: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours of the window program's corner and of the rest, blue first."""
    return tuple(pixels[5, 5, :3].tolist()), tuple(pixels[-5, -5, :3].tolist())


def test_a_monitor_is_captured(show_window: Show) -> None:
    show_window("game")
    for number in (0, 1):
        with open_monitor(number, fps=12) as source:
            assert (source.size, source.fps, source.frame_count) == (Size(800, 600), 12, None)
            assert source.pixel_format is PixelFormat.BGRA8
            frame = next(iter(source))
        assert frame.pixels.shape == (600, 800, 4)
        assert tuple(frame.pixels[199, 329, :3]) == BLUE
        assert tuple(frame.pixels[201, 329, :3]) == (0, 0, 0)


def test_a_region_is_captured_into_memory_of_the_caller(show_window: Show) -> None:
    window = show_window("game")
    mine = np.zeros((90, 160, 4), np.uint8)
    taken = []

    def target() -> np.ndarray:
        taken.append(mine)
        return mine

    with open_region(Region(left=10, top=20, width=160, height=90)) as source:
        frames = source.frames(target)
        first = next(frames)
        assert first.pixels is mine
        assert colours(mine) == (BLUE_INVERSE, BLUE)
        again = next(frames)
        assert (again.repeated, len(taken)) == (True, 1)
        assert again.captured_ns > first.captured_ns
        assert again.time_s > first.time_s
        window.do("colour 255 0 0")
        changed = next(frames)
        assert (changed.repeated, len(taken)) == (False, 2)
        assert colours(mine)[1] == RED


def test_a_window_is_followed(show_window: Show) -> None:
    window = show_window("A game's window")
    with open_titled("game") as source:
        assert source.size == Size(320, 180)
        frames = iter(source)
        assert colours(next(frames).pixels) == (BLUE_INVERSE, BLUE)
        window.do("move 300 200")
        moved = next(frames)
        assert colours(moved.pixels) == (BLUE_INVERSE, BLUE)
        window.do("move 700 200")  # 220 of its 320 columns are outside the screen
        cut = next(frames).pixels
        assert tuple(cut[5, 5, :3]) == BLUE_INVERSE
        assert not cut[:, 100:].any()
        assert source.note == ""
        window.do("move 900 200")
        assert next(frames).repeated
        assert source.note == OUTSIDE
        window.do("hide")
        kept = next(frames)
        assert kept.repeated
        assert np.array_equal(kept.pixels, cut)
        assert source.note == HIDDEN
        window.do("move 0 0")
        window.do("show")
        assert colours(next(frames).pixels) == (BLUE_INVERSE, BLUE)
        assert source.note == ""


def test_a_window_that_changes_its_size_ends_the_frames(show_window: Show) -> None:
    window = show_window("game")
    with open_titled("game") as source:
        frames = iter(source)
        next(frames)
        window.do("resize 200 100")
        assert next(frames, None) is None
        assert source.resized == Size(200, 100)


@pytest.mark.parametrize(("command", "seen"), [("move 300 200", 1), ("close", 0)])
def test_a_window_that_goes_while_it_is_captured(
    show_window: Show, command: str, seen: int
) -> None:
    window = show_window("game")
    with open_titled("game") as source:
        grab, commands = source._grab, [command]

        def grab_too_late(region: Region) -> Any:
            if commands:
                window.do(commands.pop())
            return grab(region)

        source._grab = grab_too_late  # type: ignore[method-assign]
        frames = []
        with suppress(CaptureError):
            frames.append(next(iter(source)).pixels)
    assert len(frames) == seen
    for frame in frames:
        assert colours(frame) == (BLUE_INVERSE, BLUE)


def test_a_window_that_closes_is_said(show_window: Show) -> None:
    window = show_window("game")
    with open_titled("game") as source:
        frames = iter(source)
        next(frames)
        window.do("close")
        with pytest.raises(CaptureError, match="the window 'game' was closed"):
            next(frames)


def test_a_display_that_goes_is_said(doomed_screen: Callable[[], None]) -> None:
    with open_monitor(1) as source:
        frames = iter(source)
        next(frames)
        doomed_screen()
        with pytest.raises(CaptureError, match=r"cannot capture 800x600 at 0,0: .+"):
            next(frames)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((700, 0, 200, 100), "200x100 at 700,0 does not lie on the screen, which is 800x600"),
        ((-1, 0, 200, 100), "does not lie on the screen"),
        ((0, 0, 0, 100), "does not lie on the screen"),
    ],
)
def test_a_region_off_the_screen_is_refused(
    screen: str, arguments: tuple[int, ...], words: str
) -> None:
    assert screen
    left, top, width, height = arguments
    with pytest.raises(CaptureError, match=words):
        open_region(Region(left=left, top=top, width=width, height=height))


def test_what_is_not_there_is_refused(show_window: Show) -> None:
    window = show_window("game")
    with pytest.raises(CaptureError, match="no monitor 7; there are 1"):
        open_monitor(7)
    with pytest.raises(CaptureError, match="no window is called 'quake'; there are: 'game'"):
        open_titled("quake")
    window.do("hide")
    with pytest.raises(CaptureError, match="'game' is minimised or hidden"):
        open_titled("game")


@pytest.mark.parametrize(
    ("display", "words"), [("", "DISPLAY is not set"), (":4711", "display :4711")]
)
def test_without_a_display(
    monkeypatch: pytest.MonkeyPatch, screen: str, display: str, words: str
) -> None:
    assert screen
    monkeypatch.setenv("DISPLAY", display)
    for start in (lambda: open_monitor(1), lambda: open_titled("game")):
        with pytest.raises(CaptureError, match=words):
            start()


def test_sources_leave_nothing_open(show_window: Show) -> None:
    show_window("game")

    def one() -> None:
        with closing(open_titled("game")) as source:
            next(iter(source))
            source.close()

    one()
    gc.collect()  # what earlier tests left in cycles is theirs
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        one()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
