"""The page on loopback, by starlette and uvicorn, on a thread of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from typing import Any

import msgspec

from protocol.errors import ErrorCode, ServiceError
from upscaler.live.access import ADDRESS, is_local, is_token, page_token
from upscaler.live.viewer import Viewer

CLOSED_BY_US, REFUSED, BAD_MESSAGE = 4001, 1008, 1007
MOST_WAITING = 8
"""Messages that wait for a page to read; pictures among them are bounded by the viewer."""
LONGEST_REQUEST = 4096
PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/chart.js": ("chart.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src blob: data:; "
    "style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SENTENCE = "Open the address that upscaler has printed, with its token.\n"

Send = Callable[[Any], Awaitable[None]]


class QueuedPage:
    """One connection; messages wait in a queue until the page reads them."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.reason = ""
        self._loop = asyncio.get_running_loop()

    def send(self, message: str | bytes) -> None:
        """Queue a message; states that a page does not read are left out."""
        if isinstance(message, bytes) or self.messages.qsize() < MOST_WAITING:
            self._put(message)

    def end(self, reason: str) -> None:
        """Close the connection, saying why."""
        self.reason = reason
        self._put(None)

    def _put(self, message: str | bytes | None) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the connection with it
            self._loop.call_soon_threadsafe(self.messages.put_nowait, message)


class ViewerServer:
    """Serves the page of `viewer` until it is closed. `url` is what to open."""

    def __init__(self, viewer: Viewer, port: int) -> None:
        """Listen; port 0 takes a free one. Raises ServiceError when it is taken."""
        import uvicorn

        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        try:
            self._token = page_token(self.port)
        except ServiceError:
            self._socket.close()
            raise
        self.url = f"http://{ADDRESS}:{self.port}/?token={self._token}"
        self._viewer = viewer
        config = uvicorn.Config(
            self._checked(self._app()),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=LONGEST_REQUEST,
            # Pictures are compressed already.
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=[[self._socket]], name="viewer-page", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving, and free the port. Idempotent."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, Response
        from starlette.routing import Route, WebSocketRoute

        async def page(request: Request) -> Response:
            name, kind = PAGES[request.url.path]
            if request.url.path == "/" and not self._knows(request.query_params):
                return PlainTextResponse(SENTENCE, 403, headers=HEADERS)
            text = files("upscaler.live").joinpath(name).read_bytes()
            return Response(text, media_type=kind, headers=HEADERS)

        async def picture(request: Request) -> Response:
            if not self._knows(request.query_params):
                return PlainTextResponse(SENTENCE, 403, headers=HEADERS)
            side = 1 if request.path_params["side"] == "right" else 0
            made = await asyncio.to_thread(self._viewer.png, side)
            if made is None:
                return PlainTextResponse("There is no picture yet.\n", 404, headers=HEADERS)
            method, data = made
            name = "".join(each if each.isalnum() else "-" for each in method)
            saved = {"Content-Disposition": f'attachment; filename="{name}.png"'}
            return Response(data, media_type="image/png", headers=HEADERS | saved)

        return Starlette(
            routes=[
                *(Route(path, page) for path in PAGES),
                Route("/picture/{side}.png", picture),
                WebSocketRoute("/live", self._live),
            ]
        )

    def _checked(self, app: Any) -> Any:
        """Refuse what is not asked of this address, or comes from another page, before all else."""

        async def checked(scope: Any, receive: Any, send: Send) -> None:
            if is_local(scope["headers"], self.port):
                await app(scope, receive, send)
            elif scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": REFUSED, "reason": "not local"})
            else:
                head = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
                await send({"type": "http.response.start", "status": 421, "headers": head})
                await send({"type": "http.response.body", "body": b"Not for you.\n"})

        return checked

    def _knows(self, query: Any) -> bool:
        return is_token(query.get("token", ""), self._token)

    async def _live(self, connection: Any) -> None:
        from starlette.websockets import WebSocketDisconnect

        if not self._knows(connection.query_params):
            await connection.close(REFUSED, "the token is wrong")
            return
        await connection.accept()
        page = QueuedPage()
        self._viewer.connect(page)
        sending = asyncio.create_task(_send_all(connection, page))
        try:
            while True:
                self._viewer.ask(await connection.receive_text())
        except msgspec.MsgspecError:
            await connection.close(BAD_MESSAGE, "this is no request")
        except (WebSocketDisconnect, RuntimeError, KeyError):  # it has gone, or sent no text
            pass
        finally:
            self._viewer.disconnect(page)
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending


async def _send_all(connection: Any, page: QueuedPage) -> None:
    from starlette.websockets import WebSocketDisconnect

    with suppress(WebSocketDisconnect, RuntimeError):
        while (message := await page.messages.get()) is not None:
            if isinstance(message, bytes):
                await connection.send_bytes(message)
            else:
                await connection.send_text(message)
        await connection.close(CLOSED_BY_US, page.reason)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port of a service that has just ended may be taken again.
    if os.name == "posix":  # elsewhere it would share the port with another program
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((ADDRESS, port))
        bound.listen(16)
    except OSError as error:
        bound.close()
        taken = error.errno == errno.EADDRINUSE
        why = "it is in use" if taken else error.strerror
        msg = f"cannot serve the page on port {port}: {why}; choose another, or 0 for a free one"
        raise ServiceError(msg, code=ErrorCode.BAD_OPTION) from error
    return bound
