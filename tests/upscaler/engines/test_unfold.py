from __future__ import annotations

import numpy as np
import pytest

from upscaler.engines.unfold import Unfold

ROWS, COLUMNS = 5, 7


def unfolded(unfold: Unfold, block: int, channels: int) -> np.ndarray:
    pieces = unfold.folded.reshape(ROWS, COLUMNS, block, block, channels)
    return pieces.transpose(0, 2, 1, 3, 4).reshape(ROWS * block, COLUMNS * block, channels)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("block", [2, 3, 4])
@pytest.mark.parametrize("offset", [0, 1, 4])
def test_every_pixel_moves_to_its_place(channels: int, block: int, offset: int) -> None:
    unfold = Unfold((ROWS, COLUMNS, block, block * channels))
    unfold.folded[...] = np.random.default_rng(1).integers(0, 256, unfold.folded.shape, np.uint8)
    shape = (ROWS * block, COLUMNS * block, channels)
    memory = np.full(offset + np.prod(shape) + 9, 77, np.uint8)
    result = memory[offset : offset + np.prod(shape)].reshape(shape)
    unfold(result)
    assert np.array_equal(result, unfolded(unfold, block, channels))
    assert np.all(memory[:offset] == 77)
    assert np.all(memory[offset + np.prod(shape) :] == 77)
