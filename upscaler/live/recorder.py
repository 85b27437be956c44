"""A video file of what is shown, of a steady rate; playable however the recording ends in order."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from protocol.errors import BadImageError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
"""Codecs that OpenCV's wheels can write, by suffix."""


class Recorder:
    """Writes frames of one size and format into a video of `fps` frames a second.

    A video has no times of its own here: a frame that was shown for longer is written more than
    once, and of those that came faster than `fps` the last counts.
    """

    def __init__(self, path: Path, size: Size, pixel_format: PixelFormat, fps: float) -> None:
        """Open the file; raises BadImageError for a suffix without a codec, or a bad folder."""
        import cv2

        codec = CODECS.get(path.suffix.lower())
        if codec is None:
            suffix = path.suffix or "a file without a suffix"
            msg = f"{path}: cannot write {suffix}; use one of {', '.join(CODECS)}"
            raise BadImageError(msg)
        self.path = path
        self.written = 0
        self._fps = fps
        self._writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter.fourcc(*codec), fps, (size.width, size.height)
        )
        if not self._writer.isOpened():
            msg = (
                f"cannot write {path} as {size} video ({codec}); is the folder there and writable?"
            )
            raise BadImageError(msg)
        self._bgr = np.empty((size.height, size.width, 3), np.uint8)
        self._pixel_format = pixel_format
        self._held = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def show(self, pixels: Frame, time_s: float) -> None:
        """Show a frame from `time_s` on; the one before is written for as long as it was shown."""
        self.advance(time_s)
        self._keep(pixels)

    def advance(self, time_s: float) -> None:
        """Write what is shown until `time_s`."""
        while self._held and self.written < int(time_s * self._fps + 1e-6):
            self._write()

    def write(self, pixels: Frame) -> None:
        """Write a frame once, whatever the time."""
        self._keep(pixels)
        self._write()

    def close(self) -> None:
        """Write the last frame if it has not been, and end the file. Idempotent."""
        if self._held and self._writer.isOpened() and not self.written:
            self._write()
        self._writer.release()

    def _keep(self, pixels: Frame) -> None:
        import cv2

        codes = {
            PixelFormat.RGB8: cv2.COLOR_RGB2BGR,
            PixelFormat.RGBA8: cv2.COLOR_RGBA2BGR,
            PixelFormat.BGRA8: cv2.COLOR_BGRA2BGR,
        }
        code = codes.get(self._pixel_format)
        if code is None:
            np.copyto(self._bgr, pixels)
        else:
            cv2.cvtColor(pixels, code, dst=self._bgr)
        self._held = True

    def _write(self) -> None:
        self._writer.write(self._bgr)
        self.written += 1
