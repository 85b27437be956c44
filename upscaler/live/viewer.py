"""What stands behind the page: which frames it gets, made by which methods, and how often.

Frames come from one thread (`wanted`, `offer`, `publish`), the page's wishes from another
(`connect`, `ask`, `disconnect`); the pictures are made on a third, the viewer's own. It sleeps
while nobody watches, and then a frame costs whoever has it one look at an attribute.

No page is ever ahead of what it can draw: it acknowledges each picture, and at most `WINDOW` are on
their way. A page that stops reading gets no more, and nothing piles up.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import msgspec

from protocol.errors import ServiceError, UpscalerError
from protocol.frames import PixelFormat
from upscaler.contract import Frame
from upscaler.control import Control
from upscaler.live.comparer import Comparer
from upscaler.live.path import PathReport
from upscaler.live.pictures import (
    FrameHead,
    Side,
    encode_jpeg,
    encode_message,
    encode_png,
    to_bgr,
)
from upscaler.live.shot import Picture, Shot
from upscaler.live.state import Asked, PageState, Service, busy_share, path_of, service_of

log = logging.getLogger(__name__)

NATIVE = "native"
WINDOW = 2
"""Pictures that may be on their way to the page."""
LEAST_SHARE = 0.04
"""Share of the time that the page may take from those who need the service more."""
IDLE_SHARE = 0.8
"""Share of the time that they leave over, and that the page may take of it."""
STATE_S = 0.5
REPORT_S = 1.0
NICE = 10


class Page(Protocol):
    """The connection to a page; both may be called from any thread."""

    def send(self, message: str | bytes) -> None:
        """Queue a message."""

    def end(self, reason: str) -> None:
        """Close the connection, saying why."""


class Viewer:
    """Makes pictures for one page at a time."""

    def __init__(
        self,
        endpoint: str,
        *,
        source: str,
        left: str,
        right: str,
        native: bool = False,
        limited: bool = True,
        watches_service: bool = False,
    ) -> None:
        """`endpoint` is the service's, `source` what is shown, in words.

        With `limited` the page keeps out of the way of whoever else the service works for. With
        `watches_service` frames come from inside it, and the viewer's own must not come back.
        """
        self.source = source
        self.left, self.right = left, right
        self._endpoint = endpoint
        self._native = native
        self._limited = limited
        self._watches_service = watches_service
        self._changed = threading.Condition()
        self._page: Page | None = None
        self._hidden = self._paused = self._step = self._closed = False
        self._redraw = False
        self._shot: Shot | None = None
        self._held: Shot | None = None
        self._sent = self._acknowledged = 0
        self._busy = 1.0
        self._not_before_s = 0.0
        self._drawing = False
        self._open = False
        self._pictures: list[tuple[str, Frame | None]] = [("", None), ("", None)]
        self._path: PathReport | None = None
        self._counts: Mapping[str, int] = {}
        self._note = ""
        self._service = Service()
        self._methods: list[str] = []
        self._reported_s = self._told_s = 0.0
        self._comparer = Comparer(endpoint)
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._thread.start()

    # The frames' side

    @property
    def wanted(self) -> bool:
        """Whether the page waits for a frame now."""
        return self._open and time.perf_counter() >= self._not_before_s

    @property
    def watched(self) -> bool:
        """Whether a page is open."""
        return self._page is not None

    @property
    def shows_something(self) -> bool:
        """Whether the page has got a frame since it was opened."""
        return self._held is not None or self._shot is not None

    @property
    def main_method(self) -> str:
        """What the right side shows, which whoever has no method of his own may upscale by."""
        return "" if self.right == NATIVE else self.right

    def wait_until_wanted(self, timeout_s: float) -> bool:
        """Wait for the page; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.wanted, timeout_s)

    def offer(self, shot: Shot) -> None:
        """Give a frame that was wanted; it belongs to the viewer from now on."""
        with self._changed:
            if self._page is None or (self._paused and not self._step and self._held is not None):
                return
            self._step = False
            self._shot = shot
            self._update()

    def publish(
        self, path: PathReport, *, note: str, counts: Mapping[str, int], busy: float
    ) -> None:
        """Say how the frames fare, while a page is open; `busy` is the share of time in use."""
        with self._changed:
            points = [*(self._path.points if self._path is not None else []), *path.points]
            self._path = msgspec.structs.replace(path, points=points[-256:])
            self._note, self._counts, self._busy = note, counts, busy

    def close(self) -> None:
        """End: the page is told, the thread stops. Idempotent."""
        with self._changed:
            self._closed = True
            if self._page is not None:
                self._page.end("upscaler has ended")
                self._page = None
            self._update()
        self._thread.join()

    # The page's side

    def connect(self, page: Page) -> None:
        """Show frames to this page; one that was open before is told, and gets no more."""
        with self._changed:
            if self._closed:
                page.end("upscaler has ended")
                return
            if self._page is not None:
                self._page.end("another page was opened")
            self._page = page
            self._hidden = self._paused = self._step = False
            self._sent = self._acknowledged = 0
            self._shot = self._held = None
            self._reported_s = self._told_s = 0.0
            self._path = None
            self._update()

    def disconnect(self, page: Page) -> None:
        """Forget a page that has gone."""
        with self._changed:
            if self._page is page:
                self._page = None
                self._shot = self._held = None
                self._update()

    def ask(self, text: str | bytes) -> None:
        """Do what the page asks for; raises msgspec.MsgspecError for what is no request."""
        asked = msgspec.json.decode(text, type=Asked)
        with self._changed:
            if asked.left is not None and asked.left in self.offered:
                self.left, self._redraw = asked.left, True
            if asked.right is not None and asked.right in self.offered:
                self.right, self._redraw = asked.right, True
            if asked.paused is not None:
                self._redraw = self._redraw or asked.paused != self._paused
                self._paused = asked.paused
            if asked.step:
                self._paused = self._step = True
            if asked.hidden is not None:
                self._hidden = asked.hidden
            if asked.ack is not None:
                self._acknowledged = min(max(self._acknowledged, asked.ack), self._sent)
            if asked.ack is None:
                self._told_s = 0.0
            self._update()

    @property
    def offered(self) -> list[str]:
        """Methods to choose from, the native reference last."""
        return [*self._methods, NATIVE] if self._native else self._methods

    def png(self, side: int) -> tuple[str, bytes] | None:
        """Return the method and the exact picture of side 0 or 1, as PNG; None without one."""
        method, bgr = self._pictures[side]
        return None if bgr is None else (method, encode_png(bgr))

    # The viewer's own thread

    def _update(self) -> None:
        """Work out anew what is wanted, and wake whoever waits. The lock is held."""
        self._open = (
            self._page is not None
            and not self._closed
            and not self._hidden
            and self._shot is None
            and self._sent - self._acknowledged < WINDOW
            and (not self._paused or self._step or self._held is None)
            and not (self._watches_service and self._drawing)
        )
        self._changed.notify_all()

    def _run(self) -> None:
        if self._limited and sys.platform == "linux":
            with suppress(OSError):  # of this thread alone: its encoding can wait
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while not self._closed:
            if self._page is None:
                self._comparer.close()
            page, shot = self._next_work()
            if page is None:
                continue
            try:
                if shot is not None:
                    self._draw(page, shot)
                self._tell(page)
            except Exception:  # a page must not end what it only looks at
                log.exception("the page could not be served")
        self._comparer.close()

    def _next_work(self) -> tuple[Page | None, Shot | None]:
        """Wait for a frame to draw, or for the time to tell the page how things are."""
        with self._changed:
            if self._page is None:
                self._changed.wait_for(lambda: self._page is not None or self._closed)
            self._changed.wait_for(
                lambda: (
                    self._page is None
                    or self._closed
                    or self._shot is not None
                    or self._told_s == 0.0
                    or (self._redraw and self._held is not None)
                ),
                STATE_S / 2,
            )
            shot = self._shot
            if shot is None and self._redraw:
                shot = self._held
            if shot is not None:
                self._redraw = False
                self._shot, self._held = None, shot
                self._drawing = True
            self._update()
            return self._page, shot

    def _draw(self, page: Page, shot: Shot) -> None:
        began_s = time.perf_counter()
        methods = (self.left, self.right)
        exact = self._paused
        sides: list[Side] = []
        encoded: list[bytes] = []
        shown: list[tuple[str, Frame | None]] = []
        made = dict(shot.results)
        for place, method in enumerate(methods):
            if place and method == methods[0]:
                sides.append(msgspec.structs.replace(sides[0], bytes=0))
                encoded.append(b"")
                shown.append(shown[0])
                continue
            side = Side(method=method)
            picture = self._picture(shot, method, side)
            bgr = None
            if picture is not None:
                made[method] = picture
                known = PixelFormat.BGR8 if method == NATIVE else shot.pixel_format
                bgr = to_bgr(picture.pixels, known)
                data = encode_png(bgr) if exact else encode_jpeg(bgr)
                side.type, side.bytes = ("image/png" if exact else "image/jpeg"), len(data)
                encoded.append(data)
            else:
                encoded.append(b"")
            sides.append(side)
            shown.append((method, bgr))
        self._comparer.keep(shot, {*methods} - set(shot.results))
        upscaled = next((bgr.shape for _, bgr in shown if bgr is not None), shot.source.shape)
        with self._changed:
            self._pictures = shown
            if self._page is page:
                # With what was made of it: another wipe over the same frame need not ask again.
                self._held = replace(shot, results=made)
                self._sent += 1
                head = FrameHead(
                    id=self._sent,
                    time_s=round(shot.time_s, 3),
                    width=upscaled[1],
                    height=upscaled[0],
                    sides=sides,
                )
                page.send(encode_message(head, encoded))
            spent_s = time.perf_counter() - began_s
            if self._limited:
                share = max(LEAST_SHARE, IDLE_SHARE * (1 - self._busy))
                self._not_before_s = time.perf_counter() + spent_s * (1 / share - 1)
            self._drawing = False
            self._update()

    def _picture(self, shot: Shot, method: str, side: Side) -> Picture | None:
        if method == NATIVE:
            if shot.native is None:
                side.error = "this frame has no native reference"
                return None
            return Picture(pixels=shot.native)
        picture = shot.results.get(method)
        if picture is None and self._service.note:
            side.error = self._service.note
            return None
        if picture is None:
            try:
                picture = self._comparer.upscale(shot, method)
            except UpscalerError as error:
                side.error = str(error)
                return None
        if picture.timing is not None:
            side.ms = round(picture.timing.upscaling_ms, 2)
        return picture

    def _tell(self, page: Page) -> None:
        now_s = time.perf_counter()
        if now_s < self._told_s + STATE_S:
            return
        if now_s >= self._reported_s + REPORT_S:
            self._ask_service()
            self._reported_s = time.perf_counter()
        with self._changed:
            if self._page is not page:
                return
            shot = self._held
            upscaled = "" if self._path is None else self._path.upscaled
            state = PageState(
                source=self.source,
                size="" if shot is None else str(shot.size),
                upscaled=upscaled,
                methods=self.offered,
                left=self.left,
                right=self.right,
                paused=self._paused,
                service=self._service,
                path=self._path,
                counts=dict(self._counts),
                note=self._note,
            )
            page.send(msgspec.json.encode(state).decode())
            if self._path is not None:
                self._path = msgspec.structs.replace(self._path, points=[])
            self._told_s = now_s

    def _ask_service(self) -> None:
        try:
            with Control(self._endpoint) as control:
                report = control.report(timeout_s=1.0)
        except ServiceError as error:
            self._service = msgspec.structs.replace(self._service, note=str(error))
            return
        self._redraw = self._redraw or bool(self._service.note)
        self._methods = report.methods
        self._service = service_of(report)
        if self._watches_service:
            self._path = path_of(report)
            self._busy = busy_share(report)
