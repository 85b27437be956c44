"""What a session knows of its frames and results, worked out once and checked for each."""

from __future__ import annotations

from protocol.errors import ErrorCode, ProtocolError
from protocol.frames import PixelFormat, Size
from protocol.messages import Frame, Result


def max_stride(row_bytes: int) -> int:
    """Longest stride for rows of `row_bytes`: rows may be padded, memory may not be wasted."""
    return 2 * row_bytes + 256


class Geometry:
    """Which frames, or which results, a session takes: of one size and format."""

    def __init__(self, size: Size, pixel_format: PixelFormat) -> None:
        self._size, self._format = size, pixel_format
        self._row = size.width * pixel_format.channels
        self._longest = max_stride(self._row)

    def check(self, message: Frame | Result) -> None:
        """Raise ProtocolError (PIXELS_MISMATCH) for any other.

        Comes before any product of such numbers sizes an allocation or a view.
        """
        identity, stride = message.frame_id, message.stride
        if message.size != self._size or message.pixel_format is not self._format:
            msg = (
                f"frame {identity} is {message.size} {message.pixel_format.label}, but the session "
                f"is {self._size} {self._format.label}"
            )
        elif not self._row <= stride <= self._longest:
            msg = (
                f"frame {identity} has a stride of {stride} bytes; for rows of {self._size.width} "
                f"pixels {self._format.label} it may be {self._row} to {self._longest}"
            )
        else:
            return
        raise ProtocolError(msg, code=ErrorCode.PIXELS_MISMATCH, frame_id=identity)
