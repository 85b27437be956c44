"""Where methods differ most: the parts of a frame that are worth a magnifying glass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from upscaler.compare.results import Crop
from upscaler.contract import Frame

CROPS = 3
WIDTH, HEIGHT = 96, 72
"""Pixels of the result; shown four times as large, a row of six fits a wide window."""


def find_crops(results: Sequence[Frame], *, count: int = CROPS) -> list[Crop]:
    """Return the `count` windows in which the results differ most, apart from one another.

    `results` are (height, width, 3) uint8 of one size. A window's figure is the mean over its
    pixels of the range of the methods' greys. A picture that is smaller than a window is one crop.
    """
    import cv2

    height, width = results[0].shape[:2]
    wide, tall = min(WIDTH, width), min(HEIGHT, height)
    greys = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for each in results]
    least, most = greys[0], greys[0]
    for grey in greys[1:]:
        least, most = np.minimum(least, grey), np.maximum(most, grey)
    sums = cv2.integral(most - least)
    means = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    means = means.astype(np.float64)
    crops: list[Crop] = []
    for _ in range(count):
        y, x = np.unravel_index(int(means.argmax()), means.shape)
        if means[y, x] < 0:
            break
        crops.append(Crop(x=int(x), y=int(y), width=wide, height=tall))
        means[max(0, y - tall) : y + tall, max(0, x - wide) : x + wide] = -1
    return crops
