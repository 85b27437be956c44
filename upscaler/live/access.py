"""Who may look at the page: whoever started it, in a browser on this machine.

Any page in any browser on the machine can send requests to a loopback port, under a name of its own
that resolves to 127.0.0.1 (DNS rebinding), and any user of the machine can too. So requests must
name the address that was bound, must not come from another page, and must carry a token.

The token is made from a secret of the user's and the port, so that a page that is open finds its
way back when the service starts again on the same port.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from platformdirs import user_state_path

from protocol.errors import ErrorCode, ServiceError

ADDRESS = "127.0.0.1"


def secret_path() -> Path:
    """Where the user's secret lies, or would."""
    return user_state_path("upscaler", appauthor=False) / "viewer-secret"


def page_token(port: int) -> str:
    """Return this user's token for a page at `port`; makes the secret when there is none.

    Raises ServiceError when it can be neither read nor written.
    """
    path = secret_path()
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.{os.getpid()}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            draft.replace(path)
        secret = path.read_bytes()
    except OSError as error:
        msg = f"cannot keep the secret of pages in {path}: {error.strerror}"
        raise ServiceError(msg, code=ErrorCode.NOT_ALLOWED) from error
    return hmac.new(secret, f"viewer:{port}".encode(), hashlib.sha256).hexdigest()[:32]


def is_local(headers: Iterable[tuple[bytes, bytes]], port: int) -> bool:
    """Whether a request names this address and comes from no other page.

    `headers` are (name, value) with names in lower case.
    """
    hosts = {f"{name}:{port}" for name in (ADDRESS, "localhost")}
    told = [(name, value.decode("latin-1")) for name, value in headers]
    named = [value for name, value in told if name == b"host"]
    origins = [value for name, value in told if name == b"origin"]
    ours = {f"http://{host}" for host in hosts}
    return len(named) == 1 and named[0] in hosts and all(origin in ours for origin in origins)


def is_token(given: str, token: str) -> bool:
    """Whether the token is right; takes the same time whatever is wrong with it."""
    return hmac.compare_digest(given.encode(), token.encode())
