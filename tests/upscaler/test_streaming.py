from __future__ import annotations

import platform

import numpy as np
import pytest
from numba import njit

from upscaler import streaming
from upscaler.streaming import LINE, stream


@pytest.mark.parametrize("offset", [0, 1, 16, 63])
@pytest.mark.parametrize("width", [1, 5, 64, 321])
def test_copies_every_byte_and_nothing_beside(offset: int, width: int) -> None:
    source = np.random.default_rng(0).integers(0, 256, (3, width, 4), np.uint8)
    memory = np.full(source.size + 3 * LINE, 77, np.uint8)
    begin = -memory.ctypes.data % LINE + offset
    target = memory[begin : begin + source.size].reshape(source.shape)
    stream(source, target)
    assert np.array_equal(target, source)
    assert (memory[:begin] == 77).all()
    assert (memory[begin + source.size :] == 77).all()


@pytest.mark.skipif(
    platform.machine().lower() not in {"x86_64", "amd64"}, reason="instructions of x86"
)
def test_stores_past_the_caches_and_fences() -> None:
    # Code that comes from numba's cache cannot be looked at.
    fresh = njit("int64(int64, int64, int64)")(streaming._stream_lines.py_func)
    (assembly,) = fresh.inspect_asm().values()
    assert "movnt" in assembly
    assert "sfence" in assembly
