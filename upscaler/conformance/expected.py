"""What a session is asked for, and what its results must show to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from protocol.frames import PixelFormat, Size, parse_format, upscaled_size
from upscaler.catalogue import Catalogue
from upscaler.conformance.language import Line, line_of
from upscaler.conformance.pattern import checksum, pattern
from upscaler.contract import Frame, Request, Upscaler


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of an `open` command; `scale`, sizes and names as they are written there."""

    width: int = 64
    height: int = 36
    scale: str = "2/1"
    format: str = "rgba8"
    method: str = "nearest"
    fallback: str = ""
    transport: str = "inline"
    delivery: str = "every"
    credits: int = 3
    sharpness: float = 0.2
    timeout_ms: int = 20_000

    @property
    def size(self) -> Size:
        """Size of the frames."""
        return Size(self.width, self.height)

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of frames and results."""
        return parse_format(self.format)

    @property
    def row_bytes(self) -> int:
        """Bytes of a frame's row without a gap."""
        return self.width * self.pixel_format.channels

    @property
    def upscaled(self) -> Size:
        """Size of the results."""
        return upscaled_size(self.size, Fraction(self.scale))

    def command(self, endpoint: str) -> Line:
        """Return the command that opens such a session."""
        return line_of(
            "open",
            endpoint=endpoint,
            width=self.width,
            height=self.height,
            scale=self.scale,
            format=self.format,
            method=self.method,
            fallback=self.fallback,
            transport=self.transport,
            delivery=self.delivery,
            credits=self.credits,
            sharpness=self.sharpness,
            timeout_ms=self.timeout_ms,
        )

    def request(self, method: str | None = None) -> Request:
        """Return what makes the upscaler, of the session's method or of another."""
        return Request(
            method=self.method if method is None else method,
            size=self.size,
            scale=Fraction(self.scale),
            pixel_format=self.pixel_format,
            sharpness_stops=self.sharpness,
        )


class Expected:
    """Upscales in this process what the client under test has upscaled by a service."""

    def __init__(self, engine: str) -> None:
        """`engine` runs the networks, as in the service; it loads with the first of them."""
        self._engine = engine
        self._upscalers: dict[Request, Upscaler] = {}

    @cached_property
    def _catalogue(self) -> Catalogue:
        return Catalogue(engine=self._engine)

    def upscaled(self, frame: Frame, asked: Asked, method: str | None = None) -> Frame:
        """Return what becomes of a frame, (height, width, channels) uint8 both."""
        request = asked.request(method)
        if request not in self._upscalers:
            self._upscalers[request] = self._catalogue.open(request)
        upscaler = self._upscalers[request]
        result = np.empty(upscaler.output_shape, np.uint8)
        upscaler(np.ascontiguousarray(frame), result)
        return result

    def crc(self, seed: int, asked: Asked, method: str | None = None) -> str:
        """Return the checksum of the result of a frame with the pattern of `seed`."""
        return checksum(self.upscaled(pattern(seed, asked.size, asked.pixel_format), asked, method))

    def close(self) -> None:
        """Close the upscalers."""
        for upscaler in self._upscalers.values():
            upscaler.close()
        self._upscalers.clear()
