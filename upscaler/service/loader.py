"""Replaces models while frames flow, for whoever shows the service's token."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from protocol.errors import ErrorCode, ProtocolError
from protocol.session import ReceivedLoad
from upscaler.service.lanes import Lanes, Loaded, close_result

log = logging.getLogger(__name__)

MOST = 8
"""Models that may wait to be loaded."""


class Loader:
    """Models that are being loaded, and who asked. Belongs to the service's thread."""

    def __init__(self, lanes: Lanes, *, notify: Callable[[], None]) -> None:
        """`notify` is called, on the compiling thread, when `finish` has something to do.

        Nobody may load a model before `token` is set.
        """
        self.token = ""
        self._lanes = lanes
        self._notify = notify
        self._loading: dict[Future[Loaded], bytes] = {}

    def start(self, peer: bytes, load: ReceivedLoad) -> None:
        """Begin to load a model.

        Raises ProtocolError: NOT_ALLOWED for a wrong token, or for any where the service has none;
        TOO_MANY_CLIENTS when too many models wait.
        """
        if not self.token or not hmac.compare_digest(load.token.encode(), self.token.encode()):
            msg = "only the service's owner loads models; run `upscaler model load` as that user"
            raise ProtocolError(msg, code=ErrorCode.NOT_ALLOWED)
        if len(self._loading) >= MOST:
            msg = f"{MOST} models are being loaded, which is the limit; try later"
            raise ProtocolError(msg, code=ErrorCode.TOO_MANY_CLIENTS)
        self._wait_for(peer, self._lanes.load(load.model))

    def finish(self) -> Iterator[tuple[bytes, Exception | None]]:
        """Put models that are ready into their places; yields who is to be told, and what failed.

        A model that cannot be loaded changes nothing: the one that runs goes on running.
        """
        for loading in [each for each in self._loading if each.done()]:
            peer = self._loading.pop(loading)
            try:
                loaded = loading.result()
            except Exception as error:  # noqa: BLE001 - whatever a runtime throws is an answer
                log.warning("loading a model failed: %s", error)
                yield peer, error
                continue
            if self._lanes.swap(loaded):
                log.info("loaded %s from %s", loaded.model.card.name, loaded.model.path)
                yield peer, None
            else:
                self._wait_for(peer, self._lanes.load(loaded.model))

    def cancel(self) -> None:
        """Load nothing more."""
        for loading in self._loading:
            loading.cancel()

    def shut_down(self) -> None:
        """Close what was compiled and never came into use; after `Lanes.shut_down`."""
        for loading in self._loading:
            close_result(loading)

    def _wait_for(self, peer: bytes, loading: Future[Loaded]) -> None:
        self._loading[loading] = peer
        loading.add_done_callback(lambda _: self._notify())
