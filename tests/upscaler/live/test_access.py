from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ErrorCode, ServiceError
from upscaler.live.access import is_local, is_token, page_token, secret_path

HOST = (b"host", b"127.0.0.1:5580")


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("headers", "local"),
    [
        ([HOST], True),
        ([(b"host", b"localhost:5580")], True),
        ([HOST, (b"origin", b"http://127.0.0.1:5580")], True),
        ([HOST, (b"origin", b"http://localhost:5580")], True),
        ([], False),
        ([HOST, HOST], False),
        ([(b"host", b"127.0.0.1")], False),
        ([(b"host", b"127.0.0.1:80")], False),
        ([(b"host", b"evil.example:5580")], False),
        ([(b"host", b"127.0.0.1:5580.evil.example")], False),
        ([HOST, (b"origin", b"http://evil.example")], False),
        ([HOST, (b"origin", b"null")], False),
        ([HOST, (b"origin", b"https://127.0.0.1:5580")], False),
        ([HOST, (b"origin", b"http://127.0.0.1:5580"), (b"origin", b"http://evil")], False),
        ([(b"host", b"\xff:5580")], False),
    ],
)
def test_requests_must_name_this_address_and_come_from_here(
    headers: list[tuple[bytes, bytes]], *, local: bool
) -> None:
    assert is_local(headers, 5580) is local


def test_a_token_belongs_to_the_user_and_the_port_and_stays() -> None:
    token = page_token(5580)
    assert len(token) == 32
    assert page_token(5580) == token
    assert page_token(5581) != token
    assert secret_path().stat().st_mode & 0o777 == 0o600
    secret_path().unlink()
    assert page_token(5580) != token


def test_a_token_is_compared_whole() -> None:
    assert is_token("abc", "abc")
    for wrong in ("", "ab", "abcd", "abC", "ä"):
        assert not is_token(wrong, "abc")


def test_a_secret_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(ServiceError, match="cannot keep the secret of pages in") as refused:
        page_token(1)
    assert refused.value.code is ErrorCode.NOT_ALLOWED
