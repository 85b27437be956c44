"""The frames of a service's clients, for a page that watches it.

A page needs what clients send, and nothing else of the service knows of pages: so the catalogue of
a service that is watched hands out upscalers that, when the page waits for a frame, copy the source
of the one they have just upscaled (0.2 ms at 960x540 in rgba8). While nobody watches, a frame costs
one more call and one look at an attribute, less than a microsecond.
"""

from __future__ import annotations

import time

from upscaler.catalogue import Catalogue
from upscaler.contract import Frame, Request, Upscaler
from upscaler.live.shot import Shot
from upscaler.live.viewer import Viewer
from upscaler.models.library import Model

STAY_S = 1.0
"""Of several streams the page stays with one until it has been silent for so long."""


class WatchedCatalogue(Catalogue):
    """A catalogue whose upscalers show `viewer` their frames, once there is one."""

    viewer: Viewer | None = None
    _watched: Request | None = None
    _watched_s = 0.0

    def open(self, request: Request) -> Upscaler:
        """Make the upscaler for a request; see `Catalogue.open`."""
        opened = super().open(request)
        if isinstance(opened, WatchedUpscaler):  # a network: `load` has done it
            return opened
        return WatchedUpscaler(opened, request, self)

    def load(self, model: Model, request: Request) -> Upscaler:
        """Make the upscaler for a request with a given model."""
        return WatchedUpscaler(super().load(model, request), request, self)

    def show(self, request: Request, src: Frame) -> None:
        """Give the viewer a copy of a frame that it waits for."""
        now_s = time.perf_counter()
        if self._watched not in {None, request} and now_s < self._watched_s + STAY_S:
            return
        self._watched, self._watched_s = request, now_s
        assert self.viewer is not None
        self.viewer.offer(
            Shot(
                source=src.copy(),
                pixel_format=request.pixel_format,
                scale=request.scale,
                time_s=now_s,
            )
        )


class WatchedUpscaler:
    """Another upscaler, whose frames may be shown."""

    def __init__(self, upscaler: Upscaler, request: Request, catalogue: WatchedCatalogue) -> None:
        self.name = upscaler.name
        self.engine = upscaler.engine
        self.device = upscaler.device
        self.emulated = upscaler.emulated
        self.input_shape = upscaler.input_shape
        self.output_shape = upscaler.output_shape
        self._upscaler = upscaler
        self._request = request
        self._catalogue = catalogue

    def __call__(self, src: Frame, dst: Frame) -> None:
        """Upscale `src` into `dst`; see `Upscaler`."""
        self._upscaler(src, dst)
        viewer = self._catalogue.viewer
        if viewer is not None and viewer.wanted:
            self._catalogue.show(self._request, src)

    def close(self) -> None:
        """Release what the runtime holds. Idempotent."""
        self._upscaler.close()
