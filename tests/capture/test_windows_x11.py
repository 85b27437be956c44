"""Windows of Xvfb, with the list that a window manager keeps, and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from capture.windows import Region
from capture.windows_x11 import open_window
from protocol.errors import CaptureError

Show = Callable[..., Any]


def test_a_window_says_where_it_is(show_window: Show) -> None:
    program = show_window("game", width=200, height=100)
    window = open_window("game")
    assert window.title == "game"
    assert window.region() == Region(left=10, top=20, width=200, height=100)
    program.do("move -30 40")
    assert window.region() == Region(left=-30, top=40, width=200, height=100)
    program.do("hide")
    assert window.region() is None
    program.do("close")
    with pytest.raises(CaptureError, match="was closed"):
        window.region()
    window.close()
    window.close()


def test_the_list_of_a_window_manager_is_used(show_window: Show) -> None:
    from Xlib import Xatom, display

    show_window("game")
    show_window("tool")
    server = display.Display()
    root = server.screen().root
    windows = [each for each in root.query_tree().children if each.get_wm_name() == "tool"]
    listed = server.intern_atom("_NET_CLIENT_LIST")
    root.change_property(listed, Xatom.WINDOW, 32, [each.id for each in windows])
    windows[0].change_property(
        server.intern_atom("_NET_WM_NAME"), server.intern_atom("UTF8_STRING"), 8, "Tööl".encode()
    )
    server.sync()
    try:
        window = open_window("tööl")
        assert window.title == "Tööl"
        window.close()
        with pytest.raises(CaptureError, match="no window is called 'game'; there are: 'Tööl'"):
            open_window("game")
    finally:
        root.delete_property(listed)
        server.sync()
        server.close()
