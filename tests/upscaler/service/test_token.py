from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ErrorCode, ServiceError
from upscaler.service import token
from upscaler.service.token import read_token, remove_token, token_path, write_token

ENDPOINT = "tcp://127.0.0.1:5560"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(token, "user_state_path", lambda *_, **__: tmp_path / "state")
    return tmp_path / "state"


def test_who_may_read_the_file_knows_the_token() -> None:
    written = write_token(ENDPOINT)
    assert len(written) == 64
    assert read_token(ENDPOINT) == written
    assert token_path(ENDPOINT).stat().st_mode & 0o777 == 0o600
    assert write_token(ENDPOINT) != written
    with pytest.raises(ServiceError, match="no token for a service at ipc://other") as caught:
        read_token("ipc://other")
    assert caught.value.code is ErrorCode.NOT_ALLOWED


def test_a_service_removes_its_own_token_only() -> None:
    first = write_token(ENDPOINT)
    second = write_token(ENDPOINT)
    remove_token(ENDPOINT, first)
    assert read_token(ENDPOINT) == second
    remove_token(ENDPOINT, second)
    remove_token(ENDPOINT, second)
    with pytest.raises(ServiceError):
        read_token(ENDPOINT)


def test_a_folder_that_cannot_be_written_is_named(state: Path) -> None:
    state.write_text("a file", encoding="utf-8")
    with pytest.raises(ServiceError, match="upscaler model load` needs it"):
        write_token(ENDPOINT)
