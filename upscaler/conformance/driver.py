"""The driver of the Python client: does what the conformance kit says, one line at a time.

    python -m upscaler.conformance.driver                 # on stdin and stdout
    python -m upscaler.conformance.driver --listen 7000   # on a socket, one kit after another

Drivers in other languages do the same; docs/conformance.md is their specification.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from protocol.errors import BadRequestError, ServiceLostError, UpscalerError
from upscaler.client import Client, Upscaled
from upscaler.conformance.language import ERROR, OK, Line, line_of, parse_line
from upscaler.conformance.pattern import checksum, fill
from upscaler.contract import Frame


class Driver:
    """The Python client, one at a time, and the results that were kept."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._submitted: Frame | None = None
        self._kept: dict[int, Upscaled] = {}
        self.ended = False

    def answer(self, text: str) -> Line:
        """Do what one line says; errors of the project are answers, others are raised."""
        commands: dict[str, Callable[[Line], Line]] = {
            "hello": self.hello,
            "open": self.open,
            "submit": self.submit,
            "submit_again": self.submit_again,
            "receive": self.receive,
            "release": self.release,
            "reconnect": self.reconnect,
            "stats": self.stats,
            "close": self.close,
            "quit": self.quit,
        }
        try:
            line = parse_line(text)
            if line.word not in commands:
                msg = f"unknown command {line.word!r}; known are {', '.join(commands)}"
                raise BadRequestError(msg)
            return commands[line.word](line)
        except UpscalerError as error:
            return _failure(error)

    def hello(self, _: Line) -> Line:
        """Say which client this is."""
        return line_of(OK, client="python", transports="shm,inline")

    def open(self, line: Line) -> Line:
        """Open a session; answers with what the service said."""
        options: dict[str, Any] = {
            "size": (line.integer("width"), line.integer("height")),
            "scale": line.text("scale"),
            "pixel_format": line.text("format"),
            "method": line.text("method"),
            "fallback": line.text("fallback"),
            "transport": line.text("transport"),
            "delivery": line.text("delivery"),
            "credits": line.integer("credits"),
            "sharpness_stops": line.number("sharpness"),
            "timeout_s": line.integer("timeout_ms") / 1000,
            "name": "conformance",
        }
        self.close(line)
        self._client = client = Client(line.text("endpoint"), **options)
        welcome = client.welcome
        return line_of(
            OK,
            transport=client.transport,
            width=welcome.upscaled.width,
            height=welcome.upscaled.height,
            credits=welcome.credits,
            method=welcome.method,
        )

    def submit(self, line: Line) -> Line:
        """Acquire a frame, fill it and submit it."""
        stride, deadline_ms = line.integer("stride"), line.integer("deadline_ms")
        frame = self.client.acquire(stride=stride or None)
        fill(frame, line.integer("seed"))
        try:
            identity = self.client.submit(frame, deadline_ms=deadline_ms or None)
        except UpscalerError:
            self.client.release(frame)
            raise
        self._submitted = frame
        return line_of(OK, id=identity)

    def submit_again(self, _: Line) -> Line:
        """Submit a frame that is not this side's any more."""
        if self._submitted is None:
            msg = "submit_again without a frame that was submitted; submit one first"
            raise BadRequestError(msg)
        return line_of(OK, id=self.client.submit(self._submitted))

    def receive(self, line: Line) -> Line:
        """Wait for a result, and release it unless it is to be kept."""
        result = self.client.receive(line.integer("timeout_ms") / 1000)
        values = {"id": str(result.frame_id), "outcome": result.outcome.name.lower()}
        if not result.dropped:
            values["crc"] = self.crc(result.pixels)
        if line.integer("keep"):
            self._kept[result.frame_id] = result
        else:
            self.client.release(result)
        return Line(OK, values)

    def release(self, line: Line) -> Line:
        """Release a result that was kept; answers with what it shows at that moment."""
        result = self._kept.pop(line.integer("id"), None)
        if result is None:
            msg = f"no result of frame {line.text('id')} was kept"
            raise BadRequestError(msg)
        answer = line_of(OK, crc=self.crc(result.pixels))
        self.client.release(result)
        return answer

    def reconnect(self, line: Line) -> Line:
        """Open the session anew."""
        self.client.reconnect(line.integer("timeout_ms") / 1000)
        return Line(OK)

    def stats(self, _: Line) -> Line:
        """Say what became of the frames so far."""
        counts = self.client.stats()
        names = ("frames", "fallbacks", "dropped", "missed", "failed", "lost")
        return line_of(OK, **{name: getattr(counts, name) for name in names})

    def close(self, _: Line) -> Line:
        """Close the client, if there is one."""
        self._kept.clear()
        self._submitted = None
        if self._client is not None:
            self._client.close()
            self._client = None
        return Line(OK)

    def quit(self, line: Line) -> Line:
        """Close the client and end."""
        self.ended = True
        return self.close(line)

    def crc(self, pixels: Frame) -> str:
        """Checksum of a result's rows."""
        return checksum(pixels)

    @property
    def client(self) -> Client:
        """The client that is open; raises BadRequestError when there is none."""
        if self._client is None:
            msg = "no client is open; open one first"
            raise BadRequestError(msg)
        return self._client


def _failure(error: UpscalerError) -> Line:
    values = {"code": str(int(error.code))}
    if identity := getattr(error, "frame_id", 0):
        values["id"] = str(identity)
    if isinstance(error, ServiceLostError) and error.frame_ids:
        values["lost"] = ",".join(map(str, error.frame_ids))
    values["message"] = " ".join(str(error).split())[:160]
    return Line(ERROR, values)


def serve_lines(driver: Driver, commands: IO[str], answers: IO[str]) -> None:
    """Answer each line of `commands` until `quit` or their end; closes the client then."""
    try:
        for text in commands:
            answers.write(f"{driver.answer(text)}\n")
            answers.flush()
            if driver.ended:
                return
    finally:
        driver.close(Line("close"))


def serve_socket(driver: Driver, port: int) -> None:
    """Listen on `port` of loopback, 0 for a free one, and serve one connection after another."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201
        while not driver.ended:
            connection, _ = listener.accept()
            with (
                connection,
                suppress(OSError),  # the kit has gone
                connection.makefile("r", encoding="ascii", errors="replace") as commands,
                connection.makefile("w", encoding="ascii", errors="replace") as answers,
            ):
                serve_lines(driver, commands, answers)


def main(driver: Driver, arguments: list[str]) -> None:
    """Run a driver as the command line says."""
    parser = argparse.ArgumentParser(description="The Python client's driver.")
    parser.add_argument("--listen", type=int, metavar="PORT", help="on a socket; 0: a free port")
    port = parser.parse_args(arguments).listen
    if port is None:
        serve_lines(driver, sys.stdin, sys.stdout)
    else:
        serve_socket(driver, port)


if __name__ == "__main__":
    main(Driver(), sys.argv[1:])
