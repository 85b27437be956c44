"""Where the context of a network comes from: a folder, the cache, or the compiler at this moment.

A folder that was asked for is the only source: what it does not have is an error. The cache is a
help, and a cache that cannot be written is said and done without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from upscaler.engines.context_cache import ENVIRONMENT, ContextCache
from upscaler.engines.contexts import ContextFolder, Entry, Purpose, checked_file
from upscaler.engines.npu_options import NpuSettings
from upscaler.engines.socs import Soc

log = logging.getLogger(__name__)

COMPILED = "compiled when loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A context: its ONNX file, what it is, where it came from in words, and whether it is ours.

    What is `replaceable` may be dropped and compiled again.
    """

    path: Path
    entry: Entry
    where: str
    replaceable: bool


class ContextSource:
    """Contexts as `settings` say, for one chip and set of libraries.

    Raises EngineError when a folder was asked for and holds nothing for them.
    """

    def __init__(self, settings: NpuSettings, soc: Soc, libraries: dict[str, str]) -> None:
        self._folder = None if settings.contexts is None else ContextFolder(settings.contexts)
        self._cache = None if settings.cache is None else ContextCache(settings.cache)
        if self._folder is not None:
            self._folder.check(soc, libraries)

    def find(self, purpose: Purpose, build: Callable[[Path], Entry]) -> Found | None:
        """Return the context for `purpose`; None means that it has to be compiled in memory.

        `build` compiles one into a folder, for the cache. Raises what `ContextFolder.find` does,
        and what `build` does.
        """
        if self._folder is not None:
            entry = self._folder.find(purpose)
            path = checked_file(self._folder.folder, entry, remedy=purpose.remedy)
            return Found(path=path, entry=entry, where=str(path), replaceable=False)
        if self._cache is None:
            return None
        found = self._cache.find(purpose)
        if found is not None:
            path, entry = found
            return Found(path=path, entry=entry, where=f"cache, {path.parent}", replaceable=True)
        try:
            path, entry = self._cache.keep(purpose, build)
        except OSError as error:
            log.warning(
                "the context is not kept, and the next start compiles again: %s is not writable "
                "(%s); set %s to a folder that is",
                self._cache.folder,
                error.strerror or error,
                ENVIRONMENT,
            )
            return None
        return Found(
            path=path, entry=entry, where=f"{COMPILED}, kept in {path.parent}", replaceable=False
        )

    def drop(self, purpose: Purpose) -> None:
        """Remove what the cache keeps for `purpose`."""
        if self._cache is not None:
            self._cache.drop(purpose)
