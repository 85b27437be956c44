"""Captured frames through the service, to whoever shows them: one thread does it all.

While it waits for the time of the next frame it takes results and shows them, so that none is older
than it must be. The page, if there is one, gets copies, and only of frames that it has asked for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from capture.pacing import Paced, sleep_until
from capture.source import CapturedFrame, Source
from protocol.errors import ServiceError
from protocol.frames import Size
from upscaler.contract import Frame
from upscaler.latency import percentiles
from upscaler.live.path import LivePath, Shown
from upscaler.live.recorder import Recorder
from upscaler.live.shot import Picture, Shot
from upscaler.live.viewer import Viewer
from upscaler.live.window import LiveWindow

SLICE_S = 0.008
"""Longest wait between two looks at the keyboard."""
REFRESH_S = 0.25
"""Between two drawings of the words over a picture that stays, and two reports to the page."""
RECENT = 20_000
FPS_FRAMES = 30


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has happened so far; times in ms of the frames shown last."""

    captured: int = 0
    repeated: int = 0
    shown: int = 0
    capture_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    interval_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    latency_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    shown_s: deque[float] = field(default_factory=lambda: deque(maxlen=FPS_FRAMES))
    last_ns: int = 0

    def count_capture(self, frame: CapturedFrame, ended_ns: int) -> None:
        """Count a captured frame."""
        self.captured += 1
        self.repeated += frame.repeated
        self.capture_ms.append((ended_ns - frame.captured_ns) / 1e6)
        if self.last_ns:
            self.interval_ms.append((frame.captured_ns - self.last_ns) / 1e6)
        self.last_ns = frame.captured_ns

    def count_shown(self, shown: Shown) -> None:
        """Count a frame that is shown now."""
        now_ns = time.perf_counter_ns()
        self.shown += 1
        self.latency_ms.append((now_ns - shown.captured_ns) / 1e6)
        self.shown_s.append(now_ns / 1e9)

    @property
    def fps(self) -> float:
        """Frames shown a second, of the last ones."""
        if len(self.shown_s) < 2:
            return 0.0
        return (len(self.shown_s) - 1) / max(self.shown_s[-1] - self.shown_s[0], 1e-9)

    def lines(self, seconds: float, missed: int) -> list[str]:
        """Sum up a run of so many seconds."""
        said = [
            f"captured  {self.captured} frames in {seconds:.1f} s",
            f"          {self.repeated} repeated, {missed} due and not taken",
            f"shown     {self.shown} frames, {self.shown / max(seconds, 1e-9):.1f} a second",
        ]
        timed = {"capture": self.capture_ms, "interval": self.interval_ms}
        for name, samples in {**timed, "latency": self.latency_ms}.items():
            if samples:
                each = percentiles(list(samples))
                said.append(
                    f"{name:9} mean {each.mean_ms:.2f} ms, p50 {each.p50_ms:.2f}, "
                    f"p95 {each.p95_ms:.2f}, p99 {each.p99_ms:.2f}"
                )
        return said


class CaptureLoop:
    """Runs until the source ends, the window closes, or `until` says so."""

    def __init__(
        self,
        source: Source,
        path: LivePath,
        *,
        methods: Sequence[str],
        fps: float | None,
        window: LiveWindow | None = None,
        recorder: Recorder | None = None,
        viewer: Viewer | None = None,
        natives: Source | None = None,
        until: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda _: None,
        tally: Tally | None = None,
    ) -> None:
        """Without `fps` every frame is taken and shown once, as fast as it can be.

        A `viewer` alone, without window and recorder, sets the pace: no frame is taken that its
        page does not wait for. `say` is told what a user should know, where no window shows it.
        """
        self.tally = tally or Tally()
        self.quit = False
        self._path = path
        self._methods = methods
        self._paced = Paced(source, fps, wait=self._wait) if fps else None
        self._source: Source = self._paced or source
        self._window = window
        self._recorder = recorder
        self._viewer = viewer
        self._page_alone = viewer is not None and window is None and recorder is None
        self._natives = natives
        self._until = until
        self._say = say
        self._said = ""
        self._held: Shown | None = None
        self._again = False
        self._offers: dict[int, Shot] = {}
        self._began_s = time.perf_counter()
        self._refreshed_s = 0.0
        self._source_note = ""

    @property
    def missed(self) -> int:
        """Frames that were due, and not taken for want of time."""
        return self._paced.missed if self._paced is not None else 0

    @property
    def slow(self) -> str:
        """That the source, or the service, is slower than asked; or nothing."""
        if self._paced is None or self._page_alone:  # then the page sets the pace
            return ""
        due = self.tally.captured + self.missed
        if not self._paced.note and self.missed > 0.1 * due:
            return f"{self.missed} of {due} frames that were due found no time"
        return self._paced.note

    @property
    def seconds(self) -> float:
        """Since the loop began."""
        return time.perf_counter() - self._began_s

    def run(self) -> Size | None:
        """Show frames; returns the new size when the source has changed its size, else None.

        Raises what the source raises, and ServiceError when the service fails on a frame.
        """
        self._began_s = time.perf_counter()
        try:
            frames = self._source.frames(self._path.acquire)
            natives = iter(self._natives) if self._natives is not None else None
            while self._may_go_on():
                frame = next(frames, None)
                if frame is None or self._over():
                    break
                self._take(frame, natives)
            while not self._over() and (shown := self._path.receive(5.0)) is not None:
                self._present(shown)
        finally:
            self._release()
        return self._source.resized

    def _may_go_on(self) -> bool:
        """Wait until a frame can be sent and is wanted; False when the end has come."""
        while not self._over():
            ready = self._path.ready()
            if self._path.note:
                self._offers.clear()
            if self._page_alone:
                assert self._viewer is not None
                if ready and not self._offers and self._viewer.wait_until_wanted(SLICE_S):
                    self._follow_the_page()
                    return True
            elif ready:
                return True
            self._idle(SLICE_S)
            if self._recorder is not None and self._paced is None and self._path.note:
                raise ServiceError(self._path.note.removesuffix("; waiting for it"))
        return False

    def _over(self) -> bool:
        return self.quit or self._until()

    def _wait(self, due_s: float) -> None:
        """Wait until `due_s`, and show what comes meanwhile."""
        while True:
            left_s = due_s - time.perf_counter()
            self._idle(min(max(left_s - 0.0015, 0.0), SLICE_S))
            if due_s - time.perf_counter() <= 0.0015 or self._over():
                break
        # What is left is shorter than the clock that sockets are waited for with.
        sleep_until(due_s)

    def _idle(self, seconds: float) -> None:
        """Show a result if one comes within so many seconds, and look at the keyboard."""
        if self._path.in_flight:
            shown = self._path.receive(seconds)
            if shown is not None:
                self._present(shown)
        elif seconds > 0:
            time.sleep(seconds)
        self._look_at_keys()
        self._refresh()

    def _take(self, frame: CapturedFrame, natives: Iterator[CapturedFrame] | None) -> None:
        self.tally.count_capture(frame, time.perf_counter_ns())
        native = next(natives, None) if natives is not None else None
        shot = None
        if self._viewer is not None and self._viewer.wanted and not self._offers:
            shot = Shot(
                source=frame.pixels.copy(),
                pixel_format=self._source.pixel_format,
                scale=self._path.scale,
                time_s=frame.time_s,
                native=None if native is None else native.pixels.copy(),
            )
        pixels: Frame | None = frame.pixels
        if frame.repeated:
            # Shown already; but not by this method yet, or not to the page.
            pixels = frame.pixels.copy() if self._again or self._every else None
        self._again = False
        if pixels is None:
            if shot is not None and self._viewer is not None and not self._viewer.shows_something:
                self._viewer.offer(shot)
            return
        frame_id = self._path.submit(pixels, captured_ns=frame.captured_ns)
        if shot is not None and frame_id:
            self._offers = {frame_id: shot}

    @property
    def _every(self) -> bool:
        return self._paced is None

    def _present(self, shown: Shown) -> None:
        if self._window is not None:
            self._window.show(shown.pixels)
        self.tally.count_shown(shown)
        if self._recorder is not None:
            if self._every:
                self._recorder.write(shown.pixels)
            else:
                self._recorder.show(shown.pixels, self.seconds)
        shot = self._offers.pop(shown.result.frame_id, None)
        if shot is not None and self._viewer is not None:
            picture = Picture(pixels=shown.pixels.copy(), timing=shown.result.timing)
            self._viewer.offer(replace(shot, results={shown.method: picture}))
        elif self._offers and min(self._offers) < shown.result.frame_id:
            self._offers.clear()  # that frame was dropped
        self._release()
        self._held = shown

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    def _look_at_keys(self) -> None:
        if self._window is None:
            return
        keys = self._window.keys()
        self.quit = self.quit or keys.quit
        if keys.method is not None and keys.method < len(self._methods):
            self._use(self._methods[keys.method])

    def _use(self, method: str) -> None:
        if self._window is not None and self._held is not None:
            # The first time it is compiled, and the window does not move meanwhile.
            self._window.say(self._words(f"opening {method}"))
            self._window.show(self._held.pixels)
        self._release()
        try:
            self._path.use(method)
        except ServiceError as error:
            self._source_note = str(error)
        else:
            self._source_note = ""
            self._offers.clear()
            self._again = True

    def _follow_the_page(self) -> None:
        """Upscale by what the page shows on its right side."""
        assert self._viewer is not None
        method = self._viewer.main_method
        if method and method != self._path.welcome.method:
            self._use(method)

    def _refresh(self) -> None:
        now_s = time.perf_counter()
        if now_s < self._refreshed_s + REFRESH_S:
            return
        self._refreshed_s = now_s
        note = self._path.note or self._source_note or self._source.note
        if note != self._said and self._window is None:
            self._say(note or "all is well again")
        self._said = note
        if self._recorder is not None and not self._every:
            self._recorder.advance(self.seconds)
        if self._window is not None:
            self._window.say(self._words(note))
            if self._held is not None:
                self._window.show(self._held.pixels)
        if self._viewer is not None and self._viewer.watched:
            self._viewer.publish(
                self._path.report(),
                note=note,
                counts=self._counts(),
                busy=self._busy_share(),
            )

    def _counts(self) -> dict[str, int]:
        counts = {"captured": self.tally.captured, "repeated": self.tally.repeated}
        return counts if self._page_alone else counts | {"due, not taken": self.missed}

    def _busy_share(self) -> float:
        """Share of the time in which the loop did not wait for the next frame's time."""
        if self._paced is None:
            return 1.0
        waited_s, self._paced.waited_s = self._paced.waited_s, 0.0
        return min(1.0, max(0.0, 1 - waited_s / REFRESH_S))

    def _words(self, note: str) -> list[str]:
        welcome = self._path.welcome
        recent = list(self.tally.latency_ms)[-FPS_FRAMES:]
        latency = f"{np.median(recent):.0f} ms" if recent else "-"
        emulated = ", emulated" if welcome.emulated else ""
        keys = "  ".join(f"{place} {name}" for place, name in enumerate(self._methods, 1))
        lines = [
            f"{welcome.method} ({welcome.engine}{emulated})  {self.tally.fps:.1f} fps  {latency}",
            f"{keys}  F full screen  H hide",
        ]
        return [*lines, note] if note else lines
