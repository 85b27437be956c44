"""A window whose picture moves when it is told to, in a process of its own as a game is.

`python -m upscaler.bench.moving_picture TITLE WxH` is the other process: for each line on stdin it
draws the next picture and says so, once the X server has it. Between two lines it does nothing, so
what is timed meanwhile has the machine to itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import Self

import numpy as np

from protocol.errors import CaptureError, UpscalerError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.live.window import LiveWindow

PICTURES = 8
STEP = 5
"""Pixels that a game's picture moves by from one to the next."""
DRAWN = "drawn"


class MovingPicture:
    """The window as a process, for the length of a `with` block; its first picture is there."""

    def __init__(self, title: str, size: Size) -> None:
        """Open the window. Raises CaptureError, with its own last line, when it does not open."""
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", __name__, title, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "SDL_VIDEO_WINDOW_POS": "0,0",
                # Drawn by the processor, and then waits for the X server.
                "SDL_FRAMEBUFFER_ACCELERATION": "0",
            },
        )
        try:
            self.draw()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def draw(self) -> None:
        """Show the next picture; returns when it is on the screen."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and has said why
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline().strip()
        if line != DRAWN:
            msg = line or "the window of the benchmark was closed; leave it open"
            raise CaptureError(msg)

    def close(self) -> None:
        """Close the window. Idempotent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def show(title: str, size: Size) -> None:
    """Show the window until stdin ends or it is closed."""
    frame = game_frame(size, PixelFormat.BGRA8)
    pictures = [
        np.ascontiguousarray(np.roll(frame, STEP * place, axis=1)) for place in range(PICTURES)
    ]
    with LiveWindow(title, size, PixelFormat.BGRA8) as window:
        for turn, _ in enumerate(sys.stdin):
            window.show(pictures[turn % PICTURES])
            if window.keys().quit:
                break
            sys.stdout.write(f"{DRAWN}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    width, _, height = sys.argv[2].partition("x")
    try:
        show(sys.argv[1], Size(int(width), int(height)))
    except UpscalerError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(2)
    except KeyboardInterrupt:  # whoever has started it says so
        sys.exit(130)
