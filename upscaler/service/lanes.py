"""Upscalers that are in use: one for all clients that ask for the same, replaced in mid-stream.

Compiling a network takes seconds. It is done on a thread of its own, one at a time, and nobody who
is being served waits for it. `Lanes` itself belongs to the service's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from upscaler.catalogue import Catalogue
from upscaler.contract import Request, Upscaler
from upscaler.models.library import Model, find_model
from upscaler.service.schedule import Estimate

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Lane:
    """What frames of one request take when they start, and how many clients use it."""

    upscaler: Upscaler
    estimate: Estimate = field(default_factory=Estimate)
    users: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """New upscalers, by what they are for; made after `loads` models had been loaded."""

    upscalers: dict[Request, Upscaler]
    loads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model and the upscalers made from it, for lanes that run its predecessor."""

    model: Model
    upscalers: dict[Request, Upscaler]


class Lanes:
    """All lanes, by what they are for."""

    def __init__(self, catalogue: Catalogue, *, retire: Callable[[Upscaler], None]) -> None:
        """`retire` is given the upscalers that no lane has any more; a job may still run on one."""
        self._catalogue = catalogue
        self._retire = retire
        self._lanes: dict[Request, Lane] = {}
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._loaded: list[Model] = []

    def compile(self, requests: Iterable[Request]) -> Future[Compiled] | None:
        """Make upscalers for those requests that have no lane; None when all have one."""
        missing = [request for request in dict.fromkeys(requests) if request not in self._lanes]
        if not missing:
            return None
        loads = len(self._loaded)
        return self._compiler.submit(
            lambda: Compiled(upscalers=_open_all(missing, self._catalogue.open), loads=loads)
        )

    def join(self, requests: Sequence[Request], compiled: Compiled | None = None) -> list[Lane]:
        """Count a user on the lane of each request; lanes that are new get their upscaler.

        An empty list means that something is missing: a model has been loaded meanwhile, or the
        last user of a lane has left it. Compile again then.
        """
        if compiled is not None:
            stale = self._is_stale(compiled)
            for request, upscaler in compiled.upscalers.items():
                if stale or request in self._lanes:  # or another client was faster
                    self._retire(upscaler)
                else:
                    self._lanes[request] = Lane(upscaler)
            if stale:
                return []
        if any(request not in self._lanes for request in requests):
            self._retire_unused()
            return []
        joined = [self._lanes[request] for request in requests]
        for lane in joined:
            lane.users += 1
        return joined

    def discard(self, compiled: Compiled) -> None:
        """Close what has been compiled for a client that cannot use it."""
        for upscaler in compiled.upscalers.values():
            self._retire(upscaler)

    def _is_stale(self, compiled: Compiled) -> bool:
        """Whether a model has been loaded meanwhile that replaces one of those compiled."""
        return any(
            self._catalogue.concerns(model, request)
            for model in self._loaded[compiled.loads :]
            for request in compiled.upscalers
        )

    def _retire_unused(self) -> None:
        """End lanes that were just made for a client which then could not join all of its own."""
        for request, lane in list(self._lanes.items()):
            if lane.users == 0:
                del self._lanes[request]
                self._retire(lane.upscaler)

    def leave(self, lane: Lane) -> None:
        """Count a user less; with the last one the lane ends."""
        lane.users -= 1
        if lane.users == 0:
            request = next(each for each, known in self._lanes.items() if known is lane)
            del self._lanes[request]
            self._retire(lane.upscaler)

    def load(self, name: str | Model) -> Future[Loaded]:
        """Make new upscalers from a model, for the lanes that run its predecessor; see `swap`."""
        lanes = list(self._lanes)

        def make() -> Loaded:
            model = find_model(name) if isinstance(name, str) else name
            self._catalogue.check_offered(model)
            self._catalogue.try_out(model)
            concerned = [each for each in lanes if self._catalogue.concerns(model, each)]
            opened = _open_all(concerned, lambda request: self._catalogue.load(model, request))
            return Loaded(model=model, upscalers=opened)

        return self._compiler.submit(make)

    def swap(self, loaded: Loaded) -> bool:
        """Let every lane take its new upscaler from the next frame on.

        False when other lanes have come meanwhile, with the predecessor: load the model again.
        """
        self._catalogue.replace(loaded.model)
        self._loaded.append(loaded.model)
        for request, upscaler in loaded.upscalers.items():
            lane = self._lanes.get(request)
            if lane is None:  # its last user has gone
                self._retire(upscaler)
                continue
            previous, lane.upscaler, lane.estimate = lane.upscaler, upscaler, Estimate()
            self._retire(previous)
        return all(
            request in loaded.upscalers
            for request in self._lanes
            if self._catalogue.concerns(loaded.model, request)
        )

    def close(self, upscaler: Upscaler) -> None:
        """Close an upscaler that nothing runs on, where it delays nobody."""
        self._compiler.submit(_close, upscaler)

    def shut_down(self) -> None:
        """Wait for what is being compiled, and close everything."""
        # What waits to be compiled is cancelled by whoever waits for it, what waits to be closed
        # is closed.
        self._compiler.shutdown(wait=True)
        for lane in self._lanes.values():
            _close(lane.upscaler)
        self._lanes.clear()


def close_result(future: Future[Compiled] | Future[Loaded]) -> None:
    """Close what has been compiled for nobody, once nothing compiles any more."""
    if not future.cancelled() and future.exception() is None:
        for upscaler in future.result().upscalers.values():
            upscaler.close()


def _close(upscaler: Upscaler) -> None:
    try:
        upscaler.close()
    except Exception:
        log.exception("closing %s failed", upscaler.name)


def _open_all(
    requests: Iterable[Request], make: Callable[[Request], Upscaler]
) -> dict[Request, Upscaler]:
    """All or nothing: an error closes those that were made before it."""
    opened: dict[Request, Upscaler] = {}
    try:
        for request in requests:
            opened[request] = make(request)
    except BaseException:
        for upscaler in opened.values():
            with suppress(Exception):
                upscaler.close()
        raise
    return opened
