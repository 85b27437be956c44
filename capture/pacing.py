"""Frames at a steady rate, without drift.

Frame n is due at start + n / fps: the error of one wait is not carried into the next. Whoever comes
late takes the next time that lies ahead, and what was missed is counted, not made up for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from capture.source import BaseSource, CapturedFrame, Source, Target
from protocol.errors import BadRequestError
from protocol.frames import PixelFormat, Size

MAX_FPS = 1000.0
RECENT = 30
"""Captures that the rate of a source is judged by."""


def sleep_until(due_s: float) -> None:
    """Sleep until `due_s` on the clock of `time.perf_counter`."""
    left_s = due_s - time.perf_counter()
    if left_s > 0:
        time.sleep(left_s)


class Pacer:
    """The times at which frames are due, `fps` a second; `missed` are those that went by."""

    def __init__(self, fps: float) -> None:
        if not 0 < fps <= MAX_FPS:
            msg = f"{fps:g} frames a second is out of range; choose up to {MAX_FPS:g}"
            raise BadRequestError(msg)
        self.interval_s = 1 / fps
        self.missed = 0
        self._start_s: float | None = None
        self._last = 0

    def due(self, now_s: float) -> float:
        """Return when the next frame is due; the first one is due at once."""
        if self._start_s is None:
            self._start_s = now_s
            return now_s
        following = self._last + 1
        # A frame that is late by less than an interval is taken at once, and the next one on time.
        reached = int((now_s - self._start_s) / self.interval_s)
        self.missed += max(0, reached - following)
        self._last = max(following, reached)
        return self._start_s + self._last * self.interval_s


class Paced(BaseSource):
    """Another source's frames at `fps`; closing it closes that one.

    `wait` waits until a time of `time.perf_counter`, and may do something useful meanwhile.
    """

    def __init__(
        self, source: Source, fps: float, *, wait: Callable[[float], None] = sleep_until
    ) -> None:
        self.fps = fps
        self._source = source
        self._pacer = Pacer(fps)
        self._wait = wait
        self._spent_s: deque[float] = deque(maxlen=RECENT)
        self.waited_s = 0.0

    @property
    def size(self) -> Size:
        """Size of every frame."""
        return self._source.size

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of every frame."""
        return self._source.pixel_format

    @property
    def frame_count(self) -> int | None:
        """Number of frames, None where it is unknown."""
        return self._source.frame_count

    @property
    def resized(self) -> Size | None:
        """The new size, when that is why the frames ended."""
        return self._source.resized

    @property
    def missed(self) -> int:
        """Frames that were due while the source, or whoever takes its frames, was busy."""
        return self._pacer.missed

    @property
    def note(self) -> str:
        """The source's own note; or that it is slower than asked."""
        if self._source.note:
            return self._source.note
        spent_s = sum(self._spent_s) / max(len(self._spent_s), 1)
        if len(self._spent_s) == RECENT and spent_s > self._pacer.interval_s:
            return f"the source gives {1 / spent_s:.1f} frames a second, {self.fps:g} were asked"
        return ""

    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:
        """Yield each frame when it is due; see `Source.frames`."""
        frames = self._source.frames(target)
        for _ in count():
            began_s = time.perf_counter()
            self._wait(self._pacer.due(began_s))
            started_s = time.perf_counter()
            self.waited_s += started_s - began_s
            frame = next(frames, None)
            if frame is None:
                return
            self._spent_s.append(time.perf_counter() - started_s)
            yield frame

    def close(self) -> None:
        """Close the source. Idempotent."""
        self._source.close()
