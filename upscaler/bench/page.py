"""A page that watches, in a process of its own as a browser is: no browser, but a real client.

`python -m upscaler.bench.page URL LEFT RIGHT` is the other process. Over the page's own socket it
chooses two methods, decodes every picture as a browser would, and acknowledges it then; it says so
for each that shows these methods. It ends with stdin.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import msgspec

from protocol.errors import ServiceError
from upscaler.live.pictures import FrameHead, decode_message

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

DRAWN = "drawn"


class Offer(msgspec.Struct):
    """What is read here of `upscaler.live.state.PageState`, which needs all of the service."""

    methods: list[str]


class OpenPage:
    """One page that is open at `url`, for the length of a `with` block."""

    def __init__(self, url: str, *, left: str, right: str) -> None:
        self.pictures = 0
        """Pictures of these methods that it has acknowledged so far."""
        self.ended = False
        """Whether it has said its last, see `check`."""
        self._said = ""
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", __name__, url, left, right],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def check(self) -> None:
        """Raise ServiceError, with the page's last line, when it has ended by itself."""
        if self.ended:
            raise ServiceError(self._said or "the page's process has ended without a word")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == DRAWN:
                self.pictures += 1
            else:
                self._said = line.strip()
        self.ended = True


def watch(url: str, left: str, right: str) -> None:
    """Watch until stdin ends or the service does; raises ServiceError for what it cannot show."""
    from websockets.exceptions import ConnectionClosed

    wished = False
    with _connected(url) as connection:

        def close_with_stdin() -> None:
            sys.stdin.read()
            connection.close()

        threading.Thread(target=close_with_stdin, daemon=True).start()
        with suppress(ConnectionClosed):
            for message in connection:
                if isinstance(message, bytes):
                    head = _drawn(message)
                    connection.send(_wish(ack=head.id))
                    if [side.method for side in head.sides] == [left, right]:
                        sys.stdout.write(f"{DRAWN}\n")
                        sys.stdout.flush()
                # What is offered comes with a state; a wish for anything else would be ignored.
                elif not wished and msgspec.json.decode(message, type=Offer).methods:
                    connection.send(_wish(left=left, right=right))
                    wished = True


def _connected(url: str) -> ClientConnection:
    from websockets.exceptions import InvalidHandshake
    from websockets.sync.client import connect
    from websockets.typing import Origin

    address = urlsplit(url)
    try:
        return connect(
            f"ws://{address.netloc}/live?{address.query}",
            origin=Origin(f"http://{address.netloc}"),
            compression=None,
            proxy=None,
            max_size=None,
        )
    except (InvalidHandshake, OSError) as error:
        msg = f"cannot open the page at {address.netloc}: {error}"
        raise ServiceError(msg) from error


def _drawn(message: bytes) -> FrameHead:
    """Decode both pictures, which is what drawing takes."""
    import cv2
    import numpy as np

    head, pictures = decode_message(message)
    for side, data in zip(head.sides, pictures, strict=True):
        if side.error:
            msg = f"the page cannot show {side.method}: {side.error}"
            raise ServiceError(msg)
        if data:
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return head


def _wish(**wish: object) -> str:
    return msgspec.json.encode(wish).decode()


if __name__ == "__main__":
    try:
        watch(*sys.argv[1:])
    except ServiceError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(2)
    except KeyboardInterrupt:  # whoever has started it says so
        sys.exit(130)
