"""Questions to a running service, beside its sessions: what runs, and replace a model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from protocol.errors import ErrorCode, ServiceError, ServiceTimeoutError
from protocol.messages import Failure, Keepalive, Load, Query, Report, decode, encode
from upscaler.service.report import ServiceReport, decode_report
from upscaler.service.token import read_token
from upscaler.transport import DealerTransport


class Control:
    """A connection to the service at `endpoint` for the length of a `with` block."""

    def __init__(self, endpoint: str) -> None:
        """Connect; whether anybody listens shows with the first answer."""
        self.endpoint = endpoint
        self._socket = DealerTransport(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close(linger_s=0)

    def report(self, *, timeout_s: float = 5.0) -> ServiceReport:
        """What runs for whom, and how fast.

        Raises ServiceTimeoutError when nobody answers, ServiceError when the service has gone.
        """
        return self._ask([encode(Query())], timeout_s)

    def load_model(self, model: str, *, timeout_s: float = 120.0) -> ServiceReport:
        """Replace the model of the same method and scale by `model`, a shipped one or a file.

        Returns when every session uses it. A file is named from where the caller is. Raises
        ServiceError with the service's own words, and where this user may not.
        """
        path = Path(model)
        named = str(path.resolve()) if path.suffix == ".onnx" or path.is_file() else model
        load = Load(token=read_token(self.endpoint))
        return self._ask([encode(load), named.encode()], timeout_s)

    def _ask(self, parts: Sequence[bytes], timeout_s: float) -> ServiceReport:
        until = time.monotonic() + timeout_s
        self._socket.send(parts, timeout_s=timeout_s)
        while True:
            answer = self._socket.receive(max(0.0, until - time.monotonic()))
            if answer is None and self._socket.lost:
                msg = f"the service at {self.endpoint} has gone"
                raise ServiceError(msg, code=ErrorCode.SERVICE_LOST)
            if answer is None:
                msg = (
                    f"the service at {self.endpoint} did not answer within {timeout_s:g} s; "
                    "is `upscaler serve` running there?"
                )
                raise ServiceTimeoutError(msg)
            message = decode(answer[0])
            if isinstance(message, Report) and len(answer) == 2:
                return decode_report(answer[1])
            if isinstance(message, Failure):
                sentence = bytes(answer[1]).decode(errors="replace") if len(answer) > 1 else "?"
                raise ServiceError(sentence, code=_known(message.code))
            if not isinstance(message, Keepalive):
                msg = f"the service at {self.endpoint} is shutting down"
                raise ServiceError(msg, code=ErrorCode.SHUTTING_DOWN)


def _known(code: int) -> ErrorCode:
    return ErrorCode(code) if code in ErrorCode.__members__.values() else ErrorCode.INTERNAL
