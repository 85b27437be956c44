"""The page's server over real sockets: who gets in, what is served, and how connections end."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import cv2
import msgspec
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from protocol.errors import ErrorCode, ServiceError
from upscaler.live.pictures import FrameHead, decode_message
from upscaler.live.shot import Shot
from upscaler.live.viewer import Viewer
from upscaler.live.web import PAGES, ViewerServer
from upscaler.service.process import ServiceProcess


@pytest.fixture
def server(
    service: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ViewerServer]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    viewer = Viewer(
        service.endpoint, source="a test", left="nearest", right="bicubic", limited=False
    )
    serving = ViewerServer(viewer, 0)
    yield serving
    viewer.close()
    serving.close()
    serving.close()


def token(server: ViewerServer) -> str:
    return parse_qs(urlsplit(server.url).query)["token"][0]


def get(
    server: ViewerServer, path: str, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def live(server: ViewerServer, **others: str) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}/live?token={others.pop('token', token(server))}",
        compression=None,
        proxy=None,
        **others,  # type: ignore[arg-type]
    )


def read_until_it_ends(connection: ClientConnection) -> None:
    while True:
        connection.recv(timeout=20)


def next_picture(connection: ClientConnection) -> tuple[FrameHead, list[bytes]]:
    while not isinstance(message := connection.recv(timeout=20), bytes):
        assert msgspec.json.decode(message)["source"] == "a test"
    return decode_message(message)


def test_the_page_needs_its_token(server: ViewerServer) -> None:
    for query in ("", "?token=", "?token=wrong"):
        response, body = get(server, f"/{query}")
        assert response.status == 403
        assert b"with its token" in body
        assert get(server, f"/picture/left.png{query}")[0].status == 403
    response, body = get(server, f"/?token={token(server)}")
    assert response.status == 200
    assert b"<title>upscaler, live</title>" in body
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_everything_comes_from_here(server: ViewerServer) -> None:
    for path in PAGES:
        response, body = get(server, f"{path}?token={token(server)}")
        assert response.status == 200
        assert b"http:" not in body
        assert b"https:" not in body
        assert response.headers["Cache-Control"] == "no-store"
    assert get(server, "/../web.py")[0].status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_other_names_and_other_pages_are_refused(
    server: ViewerServer, headers: dict[str, str]
) -> None:
    response, body = get(server, f"/?token={token(server)}", headers)
    assert (response.status, body) == (421, b"Not for you.\n")


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_sockets_of_other_pages_are_refused(server: ViewerServer, origin: str) -> None:
    with pytest.raises(InvalidStatus):
        live(server, origin=origin)


def test_a_socket_needs_the_token(server: ViewerServer) -> None:
    with pytest.raises(InvalidStatus):
        live(server, token="wrong")


def test_pictures_come_over_the_socket(server: ViewerServer, shot: Shot) -> None:
    assert get(server, f"/picture/left.png?token={token(server)}")[0].status == 404
    with live(server, origin=f"http://127.0.0.1:{server.port}") as page:
        assert server._viewer.wait_until_wanted(20)
        server._viewer.offer(shot)
        head, pictures = next_picture(page)
        assert [side.method for side in head.sides] == ["nearest", "bicubic"]
        assert all(pictures)
        page.send('{"ack":1,"paused":true}')
        next_picture(page)
        response, body = get(server, f"/picture/left.png?token={token(server)}")
        assert response.headers["Content-Disposition"] == 'attachment; filename="nearest.png"'
        exact = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(exact[::2, ::2, ::-1], shot.source)
    for _ in range(500):
        if not server._viewer.watched:
            break
        get(server, "/page.css")
    assert not server._viewer.watched


@pytest.mark.parametrize("message", ["{", '{"exec":"rm"}', "x" * 10_000, b"bytes"])
def test_what_is_no_wish_ends_its_connection_alone(
    server: ViewerServer, message: str | bytes
) -> None:
    with live(server) as page:
        page.send(message)
        with pytest.raises(ConnectionClosed):
            read_until_it_ends(page)
    with live(server) as page:
        assert isinstance(page.recv(timeout=20), str)


def test_a_second_page_takes_over(server: ViewerServer, shot: Shot) -> None:
    with live(server) as first:
        assert isinstance(first.recv(timeout=20), str)
        with live(server) as second:
            with pytest.raises(ConnectionClosed) as ended:
                read_until_it_ends(first)
            assert ended.value.rcvd is not None
            assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (
                4001,
                "another page was opened",
            )
            assert server._viewer.wait_until_wanted(20)
            server._viewer.offer(shot)
            next_picture(second)


def test_a_port_in_use_is_said(server: ViewerServer) -> None:
    with pytest.raises(ServiceError, match=f"port {server.port}: it is in use; choose") as refused:
        ViewerServer(server._viewer, server.port)
    assert refused.value.code is ErrorCode.BAD_OPTION


def test_an_end_frees_the_port_and_tells_the_page(server: ViewerServer) -> None:
    with live(server) as page:
        server._viewer.close()
        server.close()
        with pytest.raises(ConnectionClosed):
            read_until_it_ends(page)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", server.port))
