"""`upscaler cache`: what is kept of what was compiled for the NPU."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from upscaler.console import console, table
from upscaler.engines.context_cache import ContextCache, Kept, cache_folder


def show() -> None:
    """Print every context that is kept, last used first, and the folder."""
    cache = ContextCache(cache_folder())
    kept = cache.kept()
    shown = table("", "model", "input", "format", "chip", "QAIRT", "KiB", "last used", "state")
    for each in kept:
        # Text: what a manifest says is no markup.
        shown.add_row(*(Text(cell) for cell in _cells(each)))
    if kept:
        console.print(shown)
    total = sum(each.bytes for each in kept) / 2**20
    print(f"{_contexts(len(kept))}, {total:.1f} MiB in {cache.folder}")  # noqa: T201


def clear() -> None:
    """Remove all contexts and say how many; OSError names one that cannot be removed."""
    cache = ContextCache(cache_folder())
    count, size = cache.clear()
    print(f"removed {_contexts(count)}, {size / 2**20:.1f} MiB, from {cache.folder}")  # noqa: T201


def _cells(kept: Kept) -> list[str]:
    used = datetime.fromtimestamp(kept.used).astimezone().strftime("%Y-%m-%d %H:%M")
    size = f"{kept.bytes / 1024:.0f}"
    if kept.entry is None:
        return [kept.folder.name[:12], "", "", "", "", size, used, kept.problem]
    purpose = kept.entry.purpose
    return [
        purpose.model,
        purpose.input_size,
        purpose.pixel_format,
        ", ".join(soc.code for soc in purpose.socs),
        purpose.libraries.get("QAIRT", ""),
        size,
        used,
        "whole",
    ]


def _contexts(count: int) -> str:
    return f"{count} context{'s' * (count != 1)}"
