"""Windows of X11, through python-xlib; works with and without a window manager."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from capture.windows import Region, Window, choose
from protocol.errors import CaptureError

DEPTH = 4
"""How deep clients lie under the root window: window managers put frames around them."""


def open_window(title: str) -> Window:
    """Find a window; see `capture.windows.open_window`."""
    display = _connect()
    try:
        found = list(_windows(display))
        place = choose(title, [name for name, _ in found])
    except BaseException:
        display.close()
        raise
    return X11Window(display, found[place][1], found[place][0])


class X11Window:
    """A window of the X server that DISPLAY names."""

    def __init__(self, display: Any, window: Any, title: str) -> None:
        self.title = title
        self._display = display
        self._window = window
        self._root = display.screen().root

    def region(self) -> Region | None:
        """Where its contents are on the screen now; None while it is minimised.

        Raises CaptureError when it has been closed, or the display has gone.
        """
        from Xlib import X, error

        try:
            attributes = self._window.get_attributes()
            if attributes.map_state != X.IsViewable:
                return None
            geometry = self._window.get_geometry()
            corner = self._root.translate_coords(self._window, 0, 0)
        except (error.BadWindow, error.BadDrawable) as gone:
            msg = f"the window {self.title!r} was closed"
            raise CaptureError(msg) from gone
        except (error.ConnectionClosedError, OSError) as gone:
            msg = "the display has gone"
            raise CaptureError(msg) from gone
        return Region(left=corner.x, top=corner.y, width=geometry.width, height=geometry.height)

    def close(self) -> None:
        """Disconnect from the display. Idempotent."""
        from Xlib import error

        if self._display is not None:
            with suppress(error.ConnectionClosedError, OSError):  # it has gone by itself
                self._display.close()
            self._display = None


def _connect() -> Any:
    from Xlib import display, error

    if not os.environ.get("DISPLAY"):
        msg = "there is no display to find windows on: DISPLAY is not set"
        raise CaptureError(msg)
    try:
        return display.Display()
    except (error.DisplayError, error.XauthError, OSError) as refused:
        msg = f"cannot connect to the display {os.environ['DISPLAY']}: {_line(refused)}"
        raise CaptureError(msg) from refused


def _windows(display: Any) -> Iterator[tuple[str, Any]]:
    """Yield the title and the window of every client."""
    from Xlib import X

    root = display.screen().root
    listed = root.get_full_property(display.intern_atom("_NET_CLIENT_LIST"), X.AnyPropertyType)
    if listed is not None:
        for number in listed.value:
            window = display.create_resource_object("window", number)
            name = _title(display, window)
            if name:
                yield name, window
    else:
        yield from _named_under(display, root, DEPTH)


def _named_under(display: Any, window: Any, depth: int) -> Iterator[tuple[str, Any]]:
    from Xlib import error

    try:
        children = window.query_tree().children
    except error.BadWindow:  # it was closed while we looked
        return
    for child in children:
        name = _title(display, child)
        if name:
            yield name, child
        elif depth > 1:
            yield from _named_under(display, child, depth - 1)


def _title(display: Any, window: Any) -> str:
    from Xlib import X, error

    try:
        named = window.get_full_property(display.intern_atom("_NET_WM_NAME"), X.AnyPropertyType)
        if named is not None:
            value = named.value
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        name = window.get_wm_name()
    except error.BadWindow:
        return ""
    return name.decode(errors="replace") if isinstance(name, bytes) else name or ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
