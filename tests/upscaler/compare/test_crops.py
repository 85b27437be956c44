from __future__ import annotations

import numpy as np

from upscaler.compare.crops import HEIGHT, WIDTH, find_crops
from upscaler.compare.results import Crop


def test_crops_lie_where_the_results_differ_most() -> None:
    first = np.full((400, 600, 3), 100, np.uint8)
    second, third = first.copy(), first.copy()
    second[200:240, 300:350] += 50
    third[20:40, 500:520] -= 20
    crops = find_crops([first, second, third], count=2)
    for crop, (x, y) in zip(crops, [(325, 220), (510, 30)], strict=True):
        assert crop.x <= x < crop.x + crop.width
        assert crop.y <= y < crop.y + crop.height
        assert (crop.width, crop.height) == (WIDTH, HEIGHT)


def test_crops_do_not_overlap_and_lie_inside() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2, 150, 300, 3), np.uint8)
    crops = find_crops(list(noise), count=9)
    covered = np.zeros((150, 300), int)
    for crop in crops:
        covered[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width] += 1
    assert covered.max() == 1
    assert covered.sum() == len(crops) * WIDTH * HEIGHT
    assert 1 < len(crops) < 9


def test_a_small_picture_is_one_crop() -> None:
    small = np.zeros((20, 30, 3), np.uint8)
    assert find_crops([small, small + np.uint8(1)]) == [Crop(x=0, y=0, width=30, height=20)]
