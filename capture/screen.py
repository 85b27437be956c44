"""The screen, through mss: a monitor, a region, or a window wherever it moves; bgra8.

mss makes an array of its own for every frame and has no way to be given one: on Linux the X server
writes into memory that it shares with mss, which copies it. From there to the caller's slot is one
more copy, 0.1 ms at 960x540. Equal frames are found by comparing mss's two arrays, before any copy.

What covers a window is captured with it. Of a window that reaches over the edge of the screen, what
lies outside is black; while it is minimised or wholly outside, the last frame is repeated.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from capture.source import BaseSource, CapturedFrame, Pixels, Target
from capture.windows import Region, Window, open_window
from protocol.errors import CaptureError
from protocol.frames import PixelFormat, Size, check_size

DEFAULT_FPS = 30.0
HIDDEN = "the window is minimised or hidden"
OUTSIDE = "the window is outside the screen"
LOOKS = 3
"""At a window that moves while it is captured; one that never stands still is taken as it is."""


class ScreenSource(BaseSource):
    """What a part of the screen shows. Make it by one of the functions below."""

    pixel_format = PixelFormat.BGRA8
    frame_count = None

    def __init__(
        self,
        grabber: Any,
        region: Region,
        *,
        fps: float,
        follow: Window | None = None,
    ) -> None:
        """`grabber` is an open `mss.MSS`, and like `follow` closed with the source."""
        self.size = Size(region.width, region.height)
        check_size(self.size, what="region of the screen")
        self.fps = fps
        self._grabber = grabber
        self._region = region
        self._window = follow
        self._screen = _all_monitors(grabber)

    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:
        """Yield what is on the screen each time it is asked for; see `Source.frames`.

        Ends when the window's size changes, see `resized`. Raises CaptureError when the window is
        closed or the display has gone.
        """
        began_ns = time.perf_counter_ns()
        last: tuple[bytearray, Region] | None = None
        shown: Pixels = np.zeros(self.size.shape(self.pixel_format), np.uint8)
        while True:
            region, raw, captured_ns = self._look()
            if self.resized is not None:
                return
            time_s = (captured_ns - began_ns) / 1e9
            if region is None:  # nothing to be seen: what was seen last stays
                yield CapturedFrame(
                    pixels=shown, time_s=time_s, captured_ns=captured_ns, repeated=last is not None
                )
                continue
            visible = _intersection(region, self._screen)
            inside = Region(
                left=visible.left - region.left,
                top=visible.top - region.top,
                width=visible.width,
                height=visible.height,
            )
            # Comparing bytearrays ends at the first byte that differs.
            repeated = last == (raw, inside)
            if not repeated:
                last = (raw, inside)
                shown = self._written(raw, inside, target)
            yield CapturedFrame(
                pixels=shown, time_s=time_s, captured_ns=captured_ns, repeated=repeated
            )

    def close(self) -> None:
        """Disconnect from the display. Idempotent."""
        from mss import ScreenShotError

        with suppress(ScreenShotError, OSError):  # it has gone by itself
            self._grabber.close()
        if self._window is not None:
            self._window.close()

    def _look(self) -> tuple[Region | None, bytearray, int]:
        """Where it is, what is seen there, and when; no region while there is nothing to see.

        A window that moves or closes while it is looked at has left something else in its place.
        """
        for _ in range(LOOKS):
            region, captured_ns = self._where(), time.perf_counter_ns()
            if region is None:
                return None, bytearray(), captured_ns
            raw = self._grab(_intersection(region, self._screen))
            if self._window is None or self._window.region() == region:
                break
        return region, raw, captured_ns

    def _where(self) -> Region | None:
        """The part of the screen that is wanted now; None while it cannot be seen."""
        if self._window is None:
            return self._region
        region = self._window.region()
        if region is None:
            self._note = HIDDEN
            return None
        if (region.width, region.height) != (self.size.width, self.size.height):
            self._resized = Size(region.width, region.height)
            return None
        visible = _intersection(region, self._screen)
        self._note = "" if visible.width and visible.height else OUTSIDE
        return None if self._note else region

    def _grab(self, region: Region) -> bytearray:
        from mss import ScreenShotError

        try:
            raw: bytearray = self._grabber.grab(_as_monitor(region)).raw
        except (ScreenShotError, OSError) as error:
            if self._window is not None:
                self._window.region()  # has its own words when it has gone
            msg = f"cannot capture {region}: {_line(error)}"
            raise CaptureError(msg) from error
        except AssertionError as error:  # mss's word for a connection without an answer
            msg = f"cannot capture {region}: the display has gone"
            raise CaptureError(msg) from error
        return raw

    def _written(self, raw: bytearray, inside: Region, target: Target | None) -> Pixels:
        pixels = np.frombuffer(raw, np.uint8).reshape(inside.height, inside.width, 4)
        whole = (inside.width, inside.height) == (self.size.width, self.size.height)
        if target is None and whole:
            return pixels
        written = (
            np.empty(self.size.shape(self.pixel_format), np.uint8) if target is None else target()
        )
        if not whole:
            written[...] = 0
        bottom, right = inside.top + inside.height, inside.left + inside.width
        np.copyto(written[inside.top : bottom, inside.left : right], pixels)
        return written


def open_monitor(number: int, *, fps: float = DEFAULT_FPS) -> ScreenSource:
    """Capture a whole monitor, counted from 1; 0 is all of them together.

    Raises CaptureError when there is no display, or no such monitor.
    """

    def region_of(grabber: Any) -> tuple[Region, None]:
        monitors = grabber.monitors
        if not 0 <= number < len(monitors):
            msg = f"there is no monitor {number}; there are {len(monitors) - 1}, counted from 1"
            raise CaptureError(msg)
        return _as_region(monitors[number]), None

    return _open(region_of, fps=fps)


def open_region(region: Region, *, fps: float = DEFAULT_FPS) -> ScreenSource:
    """Capture a part of the screen.

    Raises CaptureError when there is no display, or when the region reaches outside it.
    """

    def region_of(grabber: Any) -> tuple[Region, None]:
        screen = _all_monitors(grabber)
        if region.width < 1 or region.height < 1 or _intersection(region, screen) != region:
            msg = f"the region {region} does not lie on the screen, which is {screen}"
            raise CaptureError(msg)
        return region, None

    return _open(region_of, fps=fps)


def open_titled(title: str, *, fps: float = DEFAULT_FPS) -> ScreenSource:
    """Capture the window with this title, see `capture.windows.open_window`, where it moves.

    Raises CaptureError when there is no display or no such window, or when it is minimised.
    """

    def window_of(_: Any) -> tuple[Region, Window]:
        window = open_window(title)
        region = window.region()
        if region is None:
            window.close()
            msg = f"the window {window.title!r} is minimised or hidden; bring it to the front first"
            raise CaptureError(msg)
        return region, window

    return _open(window_of, fps=fps)


def _open(place_of: Callable[[Any], tuple[Region, Window | None]], *, fps: float) -> ScreenSource:
    try:
        import mss
    except ImportError as error:
        msg = "capturing the screen needs mss: pip install 'upscaler[capture]'"
        raise CaptureError(msg) from error
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        msg = "there is no display to capture: DISPLAY is not set"
        raise CaptureError(msg)
    try:
        grabber = mss.MSS()
        monitors = grabber.monitors
    except (mss.ScreenShotError, OSError) as error:
        msg = f"cannot capture the display {os.environ.get('DISPLAY', '')}: {_line(error)}"
        raise CaptureError(msg) from error
    assert monitors
    window: Window | None = None
    try:
        region, window = place_of(grabber)
        return ScreenSource(grabber, region, fps=fps, follow=window)
    except BaseException:
        grabber.close()
        if window is not None:
            window.close()
        raise


def _all_monitors(grabber: Any) -> Region:
    return _as_region(grabber.monitors[0])


def _as_region(monitor: Any) -> Region:
    return Region(
        left=monitor["left"],
        top=monitor["top"],
        width=monitor["width"],
        height=monitor["height"],
    )


def _as_monitor(region: Region) -> dict[str, int]:
    return {
        "left": region.left,
        "top": region.top,
        "width": region.width,
        "height": region.height,
    }


def _intersection(one: Region, other: Region) -> Region:
    left, top = max(one.left, other.left), max(one.top, other.top)
    right = min(one.left + one.width, other.left + other.width)
    bottom = min(one.top + one.height, other.top + other.height)
    return Region(left=left, top=top, width=max(0, right - left), height=max(0, bottom - top))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
