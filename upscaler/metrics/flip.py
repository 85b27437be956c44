"""FLIP: the difference that an observer sees when flipping between two pictures.

Andersson et al., FLIP: A Difference Evaluator for Alternating Images, 2020, by NVIDIA's own
`flip-evaluator`. Made for rendered frames: it models the eye's contrast sensitivity at a viewing
distance, colour, and the visibility of edges and points.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import EngineError
from upscaler.contract import Frame
from upscaler.metrics.pictures import PEAK, comparable

PIXELS_PER_DEGREE = 3840 * pi / 180
"""FLIP's default, 67: a display of 3840 pixels, seen from as far as it is wide."""


def flip_mean(
    picture: Frame,
    reference: Frame,
    *,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
    shave: int = 0,
) -> float:
    """Return the mean of `flip_map`, 0 (no visible difference) to 1; same arguments and errors."""
    errors = flip_map(picture, reference, pixels_per_degree=pixels_per_degree, shave=shave)
    return float(errors.mean(dtype=np.float64))


def flip_map(
    picture: Frame,
    reference: Frame,
    *,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
    shave: int = 0,
) -> NDArray[np.float32]:
    """Return the visible difference of every pixel, (H, W) float32 in 0..1.

    Both are (H, W, 3) uint8 sRGB of one size, red first; `shave` pixels at each side are left out
    before anything is computed. Takes some seconds for a 1080p frame, on one core.

    Raises EngineError when flip-evaluator is missing, and ValueError for pictures that cannot be
    compared, or a resolution that is not positive.
    """
    picture, reference = comparable(picture, reference, shave=shave)
    if picture.ndim != 3 or picture.shape[2] != 3:
        msg = f"FLIP compares (height, width, 3) RGB, not {picture.shape}"
        raise ValueError(msg)
    if not pixels_per_degree > 0:
        msg = f"FLIP needs a positive number of pixels per degree, not {pixels_per_degree}"
        raise ValueError(msg)
    errors: NDArray[np.float32]
    errors, _, _ = _import_flip().evaluate(
        _unit(reference),
        _unit(picture),
        "LDR",
        applyMagma=False,
        computeMeanError=False,
        parameters={"ppd": pixels_per_degree},
    )
    return errors[:, :, 0]


def _unit(picture: Frame) -> NDArray[np.float32]:
    return np.divide(picture, PEAK, dtype=np.float32)


def _import_flip() -> Any:
    try:
        import flip_evaluator
    except ImportError as error:
        msg = f"FLIP needs flip-evaluator ({error}); pip install flip-evaluator, or leave FLIP out"
        raise EngineError(msg) from error
    return flip_evaluator
