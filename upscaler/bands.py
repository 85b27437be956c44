"""Rows of a frame, in bands, on all cores.

Numba has threads of its own, but its default layer may not be entered by two Python threads at
once, and the service has several. Its kernels release the GIL, so plain threads do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

BANDS = os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(BANDS, thread_name_prefix="filter")


def in_bands(run: Callable[[int, int, int], None], first: int, last: int) -> None:
    """Call `run(band, start, stop)` for bands that cover the rows `first` to `last`, and wait."""
    count = min(BANDS, last - first)
    edges = [first + (last - first) * band // count for band in range(count + 1)]
    others = [_pool().submit(run, band, edges[band], edges[band + 1]) for band in range(1, count)]
    run(0, edges[0], edges[1])
    for other in others:
        other.result()
