"""Segments of memory that the service makes and a client maps.

Ownership. The service makes a segment, alone frees its name, and locks it for as long as it lives.
A mapping lives until the last array that looks into it has gone, on either side, so freeing the
name pulls nothing away from anybody. What a killed service has left behind is not locked any more:
the next one to start removes it.

On Linux and macOS a segment is a file of its owner alone in memory (/dev/shm), or, where there is
no such folder, in the user's temporary one. On Windows it is a named mapping, which the system
frees with its last handle. Only Linux has been run.
"""

from __future__ import annotations

import mmap
import os
import secrets
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from protocol.errors import ErrorCode, ServiceError

PREFIX = "upscaler-"
MAKING = "upscaler_making-"
"""What a segment is called until it is locked."""
ABANDONED_S = 60.0
"""After that long nobody is still making it."""


def folder() -> Path:
    """Where segments lie as files."""
    memory = Path("/dev/shm")  # noqa: S108 - made for this, and the names cannot be guessed
    return memory if memory.is_dir() else Path(tempfile.gettempdir())


class Segment:
    """Shared memory of `size` bytes called `name`; `memory` is the mapping itself."""

    def __init__(self, name: str, memory: mmap.mmap, *, path: Path | None) -> None:
        self.name = name
        self.memory = memory
        self._path = path

    @property
    def size(self) -> int:
        """Bytes of the mapping."""
        return len(self.memory)

    @classmethod
    def make(cls, size: int) -> Segment:
        """Make a segment that only this user can open; freed by `unlink`.

        Raises ServiceError (UNSUPPORTED_TRANSPORT) when there is no room for it.
        """
        name = PREFIX + secrets.token_hex(16)
        try:
            if sys.platform == "win32":
                return cls(name, mmap.mmap(-1, size, tagname=name), path=None)
            return _make_file(name, size)
        except OSError as error:
            msg = (
                f"{size >> 20} MiB of shared memory cannot be had ({error.strerror or error}); "
                "make room in /dev/shm, or let pixels travel inline"
            )
            raise ServiceError(msg, code=ErrorCode.UNSUPPORTED_TRANSPORT) from error

    @classmethod
    def open(cls, name: str, size: int) -> Segment:
        """Map a segment that the service has offered.

        Raises ServiceError (UNSUPPORTED_TRANSPORT) when it is not on this machine, is another
        user's or is too small.
        """
        # A service names it: no path may hide in the name.
        if not name.startswith(PREFIX) or not name.removeprefix(PREFIX).isalnum():
            msg = f"the service offers shared memory called {name!r}, which is no name of one"
            raise ServiceError(msg, code=ErrorCode.UNSUPPORTED_TRANSPORT)
        try:
            if sys.platform == "win32":
                return cls(name, mmap.mmap(-1, size, tagname=name), path=None)
            path = folder() / name
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return cls(name, mmap.mmap(descriptor, size), path=path)
            finally:
                os.close(descriptor)
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            msg = f"the service's shared memory cannot be mapped here ({reason})"
            raise ServiceError(msg, code=ErrorCode.UNSUPPORTED_TRANSPORT) from error

    def unlink(self) -> None:
        """Free the name, so that nobody else can map it. Idempotent; for the maker alone."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def _make_file(name: str, size: int) -> Segment:
    import fcntl

    path = folder() / name
    making = path.with_name(MAKING + path.name.removeprefix(PREFIX))
    descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # The mapping holds a duplicate of the descriptor, and with it the lock.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Reserved now: where there is no room, a later write would be SIGBUS and no exception.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        making.rename(path)
    except BaseException:
        making.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return Segment(name, memory, path=path)


def remove_abandoned() -> list[str]:
    """Remove this user's segments whose service has gone; returns their names."""
    if sys.platform == "win32":
        return []
    removed = []
    for path in sorted(folder().glob(f"{PREFIX}*")):
        if _is_abandoned(path):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    for path in folder().glob(f"{MAKING}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
                removed.append(path.name)
    return removed


def _is_abandoned(path: Path) -> bool:
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # another user's, or gone by now
        return False
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
