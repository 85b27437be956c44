"""The page's own sessions with the service: one for each method that it shows."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

from protocol.errors import BadRequestError, ServiceError, ServiceLostError
from protocol.frames import PixelFormat, Size
from upscaler.client import Client
from upscaler.live.shot import Picture, Shot

NAME = "viewer"
"""Name of these sessions, by which reports tell them from those that are watched."""
OPENING_S = 60.0
LOST_S = 2.0

Key = tuple[str, Size, Fraction, PixelFormat]


class Comparer:
    """Upscales shots by any method. Belongs to one thread; `close` frees the sessions."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._clients: dict[Key, Client] = {}

    def upscale(self, shot: Shot, method: str) -> Picture:
        """Return what `method` makes of the shot; the pixels are the caller's.

        Raises ServiceError when the service has no such method for it, or has gone; the next call
        tries again.
        """
        key = (method, shot.size, shot.scale, shot.pixel_format)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = Client(
                self._endpoint,
                size=(shot.size.width, shot.size.height),
                scale=shot.scale,
                pixel_format=shot.pixel_format.label,
                method=method,
                credits=1,
                timeout_s=OPENING_S,
                name=NAME,
            )
        try:
            client.submit(shot.source)
            result = client.receive()
        except (ServiceLostError, BadRequestError):
            client.close()
            del self._clients[key]
            raise
        picture = Picture(pixels=result.pixels.copy(), timing=result.timing)
        client.release(result)
        return picture

    def keep(self, shot: Shot, methods: set[str]) -> None:
        """Close the sessions of other methods, and of frames of another kind."""
        kind = (shot.size, shot.scale, shot.pixel_format)
        for key in [key for key in self._clients if key[0] not in methods or key[1:] != kind]:
            self._clients.pop(key).close()

    def close(self) -> None:
        """Close all sessions. Idempotent."""
        for client in self._clients.values():
            with suppress(ServiceError):
                client.close()
        self._clients.clear()
