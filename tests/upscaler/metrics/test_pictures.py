from __future__ import annotations

import numpy as np
import pytest

from upscaler.metrics.pictures import comparable, luma


@pytest.mark.parametrize(
    ("rgb", "level"),
    [((0, 0, 0), 16.0), ((255, 255, 255), 235.0), ((255, 0, 0), 81.481), ((0, 0, 255), 40.966)],
)
def test_luma_is_bt601_in_the_studio_range(rgb: tuple[int, int, int], level: float) -> None:
    coloured = np.full((3, 4, 3), rgb, np.uint8)
    assert luma(coloured) == pytest.approx(np.full((3, 4), level))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 4, 4)])
def test_luma_is_of_three_colours(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="RGB, not of shape"):
        luma(np.zeros(shape, np.uint8))


def test_shaving_leaves_views_of_the_inside() -> None:
    first, second = np.zeros((8, 9, 3), np.uint8), np.ones((8, 9, 3), np.uint8)
    views = comparable(first, second, shave=3)
    assert [view.shape for view in views] == [(2, 3, 3)] * 2
    assert views[0].base is first
    assert comparable(first, second)[1].shape == second.shape


@pytest.mark.parametrize("shave", [-1, 4, 100])
def test_something_must_be_left(shave: int) -> None:
    picture = np.zeros((8, 9, 3), np.uint8)
    with pytest.raises(ValueError, match="off each side of a picture of 9x8"):
        comparable(picture, picture, shave=shave)


def test_refuses_what_is_no_picture() -> None:
    line = np.zeros(8, np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        comparable(line, line)
