"""A picture for the engines to upscale."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth (32, 64, 4) uint8 picture with edges: ramps, blocks and a random alpha."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (4, 8, 4), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None]
    return np.where(random.random((32, 64, 1)) < 0.3, ramp, blocks).astype(np.uint8)
