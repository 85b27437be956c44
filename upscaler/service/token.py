"""The secret by which a service knows its owner: a file that nobody else can read.

Anybody on the machine can connect to a loopback port, so replacing a model needs more than that.
One file for each endpoint, in the user's state folder; the service writes it when it starts.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from platformdirs import user_state_path

from protocol.errors import ErrorCode, ServiceError


def token_path(endpoint: str) -> Path:
    """Where the token of the service at `endpoint` lies, or would."""
    name = hashlib.sha256(endpoint.encode()).hexdigest()[:16]
    return user_state_path("upscaler", appauthor=False) / "tokens" / name


def write_token(endpoint: str) -> str:
    """Make a new token for the service at `endpoint`, and return it.

    Raises ServiceError when the folder cannot be written to.
    """
    token = secrets.token_hex(32)
    path = token_path(endpoint)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}; `upscaler model load` needs it"
        raise ServiceError(msg, code=ErrorCode.NOT_ALLOWED) from error
    return token


def read_token(endpoint: str) -> str:
    """Return the token of the service at `endpoint`.

    Raises ServiceError (NOT_ALLOWED) when there is none that this user may read.
    """
    path = token_path(endpoint)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        msg = (
            f"no token for a service at {endpoint} ({path}: {error.strerror}); run this as the "
            "user who runs the service, with the endpoint exactly as it says that it listens"
        )
        raise ServiceError(msg, code=ErrorCode.NOT_ALLOWED) from error


def remove_token(endpoint: str, token: str) -> None:
    """Remove the token unless another service has written its own meanwhile."""
    path = token_path(endpoint)
    try:
        if path.read_text(encoding="utf-8") == token:
            path.unlink()
    except OSError:
        return
