"""Windows of Microsoft Windows, through user32."""

from __future__ import annotations

import ctypes
import sys

from capture.windows import Region, Window, choose
from protocol.errors import CaptureError

if sys.platform == "win32":
    from ctypes import wintypes

    user32 = ctypes.WinDLL("user32", use_last_error=True)
    _EnumWindowsProc = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.HWND, wintypes.LPARAM)

    class Win32Window:
        """A top-level window; its region is the client area, without title bar and border."""

        def __init__(self, handle: int, title: str) -> None:
            self.title = title
            self._handle = handle

        def region(self) -> Region | None:
            """Where its contents are on the screen now; None while it is minimised or hidden.

            Raises CaptureError when it has been closed.
            """
            handle = wintypes.HWND(self._handle)
            if not user32.IsWindow(handle):
                msg = f"the window {self.title!r} was closed"
                raise CaptureError(msg)
            if user32.IsIconic(handle) or not user32.IsWindowVisible(handle):
                return None
            area, corner = wintypes.RECT(), wintypes.POINT(0, 0)
            user32.GetClientRect(handle, ctypes.byref(area))
            user32.ClientToScreen(handle, ctypes.byref(corner))
            return Region(left=corner.x, top=corner.y, width=area.right, height=area.bottom)

        def close(self) -> None:
            """Nothing is held for it."""

    def open_window(title: str) -> Window:
        """Find a window; see `capture.windows.open_window`."""
        # Otherwise coordinates are scaled on screens with more than 96 dots an inch, and mss's are
        # not: it asks for the same.
        user32.SetProcessDPIAware()
        found: list[tuple[str, int]] = []

        def visit(handle: int, _: int) -> bool:
            length = user32.GetWindowTextLengthW(handle)
            if length and user32.IsWindowVisible(handle):
                text = ctypes.create_unicode_buffer(length + 1)
                user32.GetWindowTextW(handle, text, length + 1)
                found.append((text.value, handle))
            return True

        user32.EnumWindows(_EnumWindowsProc(visit), 0)
        name, handle = found[choose(title, [each for each, _ in found])]
        return Win32Window(handle, name)
