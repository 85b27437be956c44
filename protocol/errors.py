"""The one tree of errors.

    UpscalerError                  anything a user of the project may have to handle
    ├── ProtocolError              a message that breaks the contract
    ├── BadRequestError            a method, scale, model or size that cannot be served
    ├── BadImageError              a file that is no readable image, or has the wrong size
    ├── EngineError                an engine that is missing, or failed
    ├── CaptureError               a screen or window that cannot be captured, or has gone
    └── ServiceError               the service answered with an error, or not at all
        ├── ServiceTimeoutError    no answer within the time allowed
        └── ServiceLostError       the service has gone, and with it the frames in flight

Every error carries an `ErrorCode`; the code and the sentence are what travels on the wire.
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """What went wrong, as a number that engines can switch on. Numbers are never reused."""

    INTERNAL = 1
    MALFORMED = 2
    UNSUPPORTED_VERSION = 3
    UNEXPECTED_MESSAGE = 4
    UNKNOWN_METHOD = 5
    UNSUPPORTED_SCALE = 6
    UNSUPPORTED_SIZE = 7
    UNSUPPORTED_FORMAT = 8
    UNKNOWN_MODEL = 9
    ENGINE_UNAVAILABLE = 10
    PIXELS_MISMATCH = 11
    TOO_MANY_FRAMES = 12
    TOO_MANY_CLIENTS = 13
    SHUTTING_DOWN = 14
    UNSUPPORTED_TRANSPORT = 15
    UNREADABLE_FILE = 16
    TIMEOUT = 17
    BAD_OPTION = 18
    BAD_SLOT = 19
    STALE_DEADLINE = 20
    SERVICE_LOST = 21
    NOT_ALLOWED = 22


class UpscalerError(Exception):
    """Base of the tree. `code` says what, the message says it in one sentence with the remedy."""

    default_code = ErrorCode.INTERNAL

    def __init__(self, message: str, *, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.code = self.default_code if code is None else code


class ProtocolError(UpscalerError):
    """A message that breaks the contract; `frame_id` is 0 where it concerns no frame."""

    default_code = ErrorCode.MALFORMED

    def __init__(self, message: str, *, code: ErrorCode | None = None, frame_id: int = 0) -> None:
        super().__init__(message, code=code)
        self.frame_id = frame_id


class BadRequestError(UpscalerError):
    """A method, scale, model, option or size that cannot be served."""

    default_code = ErrorCode.BAD_OPTION


class BadImageError(UpscalerError):
    """A file that is missing, unreadable or of the wrong size; the message names it."""

    default_code = ErrorCode.UNREADABLE_FILE


class EngineError(UpscalerError):
    """An engine that was asked for and is missing, or that failed."""

    default_code = ErrorCode.ENGINE_UNAVAILABLE


class CaptureError(UpscalerError):
    """A screen, region or window that cannot be captured, or has gone while it was."""

    default_code = ErrorCode.BAD_OPTION


class ServiceError(UpscalerError):
    """The service answered with an error; `frame_id` is 0 where it concerns no frame."""

    def __init__(self, message: str, *, code: ErrorCode | None = None, frame_id: int = 0) -> None:
        super().__init__(message, code=code)
        self.frame_id = frame_id


class ServiceTimeoutError(ServiceError):
    """The service did not answer within the time allowed."""

    default_code = ErrorCode.TIMEOUT


class ServiceLostError(ServiceError):
    """The service has gone; `frame_ids` are the frames that were in flight and are lost."""

    default_code = ErrorCode.SERVICE_LOST

    def __init__(
        self, message: str, *, code: ErrorCode | None = None, frame_ids: tuple[int, ...] = ()
    ) -> None:
        super().__init__(message, code=code)
        self.frame_ids = frame_ids
