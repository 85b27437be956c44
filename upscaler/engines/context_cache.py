"""Contexts compiled at run time, kept on disk: the next start loads in place of compiling.

Each is a folder of its own, see `upscaler.engines.contexts`, named by the digest of all that it
depends on, so that nothing is ever out of date: what has changed has another name. Written beside
and renamed, so that a reader finds a whole one or none; a damaged one is dropped and compiled
again. The oldest by use go when the cache grows beyond its limit.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import EngineError
from upscaler.engines.contexts import (
    MANIFEST,
    Entry,
    Purpose,
    checked_file,
    read_manifest,
    write_manifest,
)

log = logging.getLogger(__name__)

ENVIRONMENT = "UPSCALER_CACHE_DIR"
CONTEXTS = "contexts"
LIMIT_BYTES = 256 << 20
"""Some 500 contexts; one is 0.3 to 0.5 MB at 540p to 1080p."""
DIGEST = re.compile(r"[0-9a-f]{64}")
UNFINISHED = ".new-"
UNFINISHED_AGE_S = 3600
"""A folder that is still unfinished then belonged to a process that was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A folder of the cache. `entry` is None when it cannot be used, and `problem` says why."""

    folder: Path
    entry: Entry | None
    problem: str
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""


def cache_folder() -> Path:
    """Where contexts are kept: below UPSCALER_CACHE_DIR, or where this system has caches."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen) / CONTEXTS
    import platformdirs

    return platformdirs.user_cache_path("upscaler", appauthor=False) / CONTEXTS


class ContextCache:
    """Contexts in `folder`, which is made when the first is kept."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes

    def find(self, purpose: Purpose) -> tuple[Path, Entry] | None:
        """Return the ONNX file and entry for `purpose`, whole and undamaged, or None.

        A folder that has the name but is not what it should be is dropped, and said so.
        """
        folder = self.folder / purpose.digest
        if not folder.is_dir():
            return None
        try:
            entry = _only_entry(folder)
            if entry.purpose != purpose:
                msg = f"{folder} holds a context for something else"
                raise EngineError(msg)  # noqa: TRY301 - one way out for all that is wrong
            path = checked_file(folder, entry)
        except EngineError as error:
            log.warning("a cached context is dropped and compiled again: %s", error)
            self.drop(purpose)
            return None
        try:
            os.utime(folder / MANIFEST)
        except OSError:
            log.debug("%s does not remember that it was used", folder)
        return path, entry

    def keep(self, purpose: Purpose, build: Callable[[Path], Entry]) -> tuple[Path, Entry]:
        """Keep what `build` compiles into the folder that it is given; return file and entry.

        Raises OSError when the cache cannot be written, and what `build` raises.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.folder))
        try:
            entry = build(unfinished)
            write_manifest(unfinished, [entry])
            folder = self.folder / purpose.digest
            try:
                unfinished.rename(folder)
            except OSError:
                # Another process was faster, and what it made is as good.
                found = self.find(purpose)
                if found is not None:
                    return found
                unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        self._trim(keep=folder)
        return folder / next(iter(entry.files)), entry

    def drop(self, purpose: Purpose) -> None:
        """Remove what is kept for `purpose`, if anything."""
        shutil.rmtree(self.folder / purpose.digest, ignore_errors=True)

    def kept(self, *, check: bool = True) -> list[Kept]:
        """Return what is there, last used first; `check` compares the bytes with their hashes."""
        found = [_described(folder, check=check) for folder in self._folders(DIGEST.fullmatch)]
        return sorted(found, key=lambda each: each.used, reverse=True)

    def clear(self) -> tuple[int, int]:
        """Remove every context and every unfinished one; return how many, and their bytes.

        Nothing else in the folder is touched. Raises OSError when one cannot be removed.
        """
        count = size = 0
        unfinished = self._folders(lambda name: name.startswith(UNFINISHED))
        for folder in [*self._folders(DIGEST.fullmatch), *unfinished]:
            held = _size(folder)
            shutil.rmtree(folder)
            count, size = count + 1, size + held
        return count, size

    def _folders(self, named: Callable[[str], object]) -> list[Path]:
        try:
            return [each for each in self.folder.iterdir() if named(each.name) and each.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _trim(self, *, keep: Path) -> None:
        for folder in self._folders(lambda name: name.startswith(UNFINISHED)):
            if _changed(folder) < time.time() - UNFINISHED_AGE_S:
                shutil.rmtree(folder, ignore_errors=True)
        size = 0
        for each in self.kept(check=False):
            size += each.bytes
            if size > self._limit_bytes and each.folder != keep:
                shutil.rmtree(each.folder, ignore_errors=True)


def _only_entry(folder: Path) -> Entry:
    entries = read_manifest(folder).entries
    if len(entries) != 1:
        msg = f"{folder} holds {len(entries)} contexts in place of one"
        raise EngineError(msg)
    return entries[0]


def _described(folder: Path, *, check: bool) -> Kept:
    entry, problem = None, ""
    try:
        entry = _only_entry(folder)
        if entry.purpose.digest != folder.name:
            entry, problem = None, "is for something else than its name says"
        elif check:
            checked_file(folder, entry)
    except EngineError as error:
        entry, problem = None, str(error)
    used = _changed(folder / MANIFEST)
    return Kept(folder=folder, entry=entry, problem=problem, bytes=_size(folder), used=used)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # gone in the meantime
            continue
    return total
