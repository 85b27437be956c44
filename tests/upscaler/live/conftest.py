"""A page that is no browser, and shots of a real game frame."""

from __future__ import annotations

import threading
from collections import deque
from fractions import Fraction

import msgspec
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.live.pictures import FrameHead, decode_message
from upscaler.live.shot import Shot
from upscaler.live.state import PageState

LONG_S = 30


class CollectingPage:
    """Keeps what a viewer sends; the test waits for it."""

    def __init__(self) -> None:
        self.pictures: deque[tuple[FrameHead, list[bytes]]] = deque()
        self.states: deque[PageState] = deque()
        self.ended = ""
        self._changed = threading.Condition()

    def send(self, message: str | bytes) -> None:
        with self._changed:
            if isinstance(message, bytes):
                self.pictures.append(decode_message(message))
            else:
                self.states.append(msgspec.json.decode(message, type=PageState))
            self._changed.notify_all()

    def end(self, reason: str) -> None:
        self.ended = reason

    def next_picture(self) -> tuple[FrameHead, list[bytes]]:
        with self._changed:
            assert self._changed.wait_for(lambda: self.pictures, LONG_S)
            return self.pictures.popleft()

    def next_state(self) -> PageState:
        with self._changed:
            assert self._changed.wait_for(lambda: self.states, LONG_S)
            return self.states.popleft()


@pytest.fixture
def collecting_page() -> CollectingPage:
    return CollectingPage()


@pytest.fixture
def shot() -> Shot:
    """A 64x36 cut of a real game frame, to be shown at twice the size."""
    return Shot(
        source=game_frame(Size(64, 36), PixelFormat.RGB8),
        pixel_format=PixelFormat.RGB8,
        scale=Fraction(2),
        time_s=0.5,
    )
