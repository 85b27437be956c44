"""Two bare ZeroMQ sockets in two processes, as the floor of what a round trip can take here.

`python -m upscaler.bench.bare ENDPOINT` is the other process: it sends back what it gets.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Self

from protocol.errors import ServiceError
from upscaler.transport import DealerTransport, RouterTransport

HEADER_BYTES = 88
"""A RESULT header's; FRAME's is smaller."""
WARM_UP = 50


class BareEcho:
    """A process that echoes at `endpoint`, for the length of a `with` block."""

    def __init__(self, endpoint: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", __name__, endpoint])  # noqa: S603
        self._socket = DealerTransport(endpoint)

    def __enter__(self) -> Self:
        for _ in range(WARM_UP):
            self.round_trip_ms()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close(linger_s=0)
        self._process.terminate()
        self._process.wait()

    def round_trip_ms(self) -> float:
        """Time for a header to go there and come back."""
        began_ns = time.perf_counter_ns()
        self._socket.send([bytes(HEADER_BYTES)], timeout_s=30)
        if self._socket.receive(30) is None:
            msg = "the echoing process does not answer; run the benchmark again"
            raise ServiceError(msg)
        return (time.perf_counter_ns() - began_ns) / 1e6


def echo(endpoint: str) -> None:
    """Send back every message, until the process is ended."""
    transport = RouterTransport(endpoint, max_part_bytes=HEADER_BYTES)
    while True:
        received = transport.receive()
        if received is None:
            transport.wait(1.0)
            continue
        peer, parts = received
        transport.send(peer, [bytes(part) for part in parts])


if __name__ == "__main__":
    echo(sys.argv[1])
