"""Windows by their titles, on any system."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.errors import CaptureError

MOST_TITLES = 8
"""Titles that an error lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the screen in pixels; `left` and `top` may be negative on other monitors."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height} at {self.left},{self.top}"


class Window(Protocol):
    """One window. Close it."""

    @property
    def title(self) -> str:
        """Title at the time it was found."""

    def region(self) -> Region | None:
        """Where its contents are now; None while it is minimised or hidden.

        Raises CaptureError when it has been closed.
        """

    def close(self) -> None:
        """Free what is held for it. Idempotent; the window itself stays."""


def open_window(title: str) -> Window:
    """Find the window with `title`, or the only one that has it in its title, in any case.

    Raises CaptureError when there is none, or more than one that is meant.
    """
    if sys.platform == "win32":
        from capture.windows_win32 import open_window as find
    else:
        from capture.windows_x11 import open_window as find
    return find(title)


def choose(title: str, titles: Sequence[str]) -> int:
    """Return the place of the window that `title` means; raises CaptureError, naming others."""
    exact = [place for place, each in enumerate(titles) if each == title]
    inside = [place for place, each in enumerate(titles) if title.lower() in each.lower()]
    found = exact or inside
    if len(found) == 1:
        return found[0]
    several = [titles[place] for place in found] or list(titles)
    listed = ", ".join(repr(each[:60]) for each in several[:MOST_TITLES]) or "none"
    if found:
        msg = f"{len(found)} windows are called {title!r}: {listed}; give a whole title"
    else:
        msg = f"no window is called {title!r}; there are: {listed}"
    raise CaptureError(msg)
