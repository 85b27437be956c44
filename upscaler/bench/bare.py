"""Two bare ZeroMQ sockets in two processes, as the floor of what a round trip can take here.

`python -m upscaler.bench.bare ENDPOINT BYTES` is the other process: it sends headers back as they
come, and a result of so many bytes for a header with pixels.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Self

import numpy as np

from protocol.errors import ServiceError
from protocol.frames import MAX_PIXELS
from upscaler.contract import Frame
from upscaler.transport import DealerTransport, RouterTransport

HEADER_BYTES = 88
"""A RESULT header's; FRAME's is smaller."""
WARM_UP = 50


class BareService:
    """A process that answers at `endpoint`, for the length of a `with` block."""

    def __init__(self, endpoint: str, *, result_bytes: int) -> None:
        command = [sys.executable, "-m", __name__, endpoint, str(result_bytes)]
        self._process = subprocess.Popen(command)  # noqa: S603
        self._socket = DealerTransport(endpoint)

    def __enter__(self) -> Self:
        for _ in range(WARM_UP):
            self.round_trip_ms()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close(linger_s=0)
        self._process.terminate()
        self._process.wait()

    def round_trip_ms(self, frame: Frame | None = None) -> float:
        """Time for a header to go there and come back, or for a frame to, and a result."""
        parts = [bytes(HEADER_BYTES)] if frame is None else [bytes(HEADER_BYTES), frame]
        began_ns = time.perf_counter_ns()
        self._socket.send(parts, timeout_s=30, copy=frame is None)
        if self._socket.receive(30) is None:
            msg = "the answering process does not answer; run the benchmark again"
            raise ServiceError(msg)
        return (time.perf_counter_ns() - began_ns) / 1e6


def answer(endpoint: str, result_bytes: int) -> None:
    """Answer every message, until the process is ended."""
    transport = RouterTransport(endpoint, max_part_bytes=MAX_PIXELS * 4)
    result = np.ones(result_bytes, np.uint8)
    while True:
        received = transport.receive()
        if received is None:
            transport.wait(1.0)
            continue
        peer, (header, *pixels) = received
        if pixels:
            transport.send_pixels(peer, bytes(header), result)
        else:
            transport.send(peer, [bytes(header)])


if __name__ == "__main__":
    answer(sys.argv[1], int(sys.argv[2]))
