"""A real picture, and what noise does to it."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame


@pytest.fixture(scope="session")
def native() -> Frame:
    """A 160x120 cut of a real game frame, RGB."""
    return game_frame(Size(480, 360), PixelFormat.RGB8)[200:320, 200:360].copy()


@pytest.fixture(scope="session")
def noisy(native: Frame) -> Frame:
    """The same under noise of 8 levels."""
    noise = np.random.default_rng(1).normal(0, 8, native.shape)
    return np.rint(native + noise).clip(0, 255).astype(np.uint8)
