"""What is wrong with a pair of renders, if anything: blank, frozen, misaligned, or a resize.

Pure functions of pixels. Frames are (H, W, 3) uint8 RGB, and a reason is the end of a sentence that
begins with the pair's name. Limits were set by 333 native pairs of three games at 2x and 1.5x, all
of which pass, and by what was done to them on purpose; numbers stand beside each limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, hypot, log10

import numpy as np
from numpy.typing import NDArray

from trainer.degrade import degrade
from upscaler.contract import Frame

Plane = NDArray[np.float32]
"""Luma of a frame, (H, W) float32 in 0..255."""

SAME_LEVELS = 2
"""Values that differ by no more than this count as equal: dithering and lossy files do as much."""
BLANK_SHARE = 0.98
FROZEN_SHARE = 0.999


def blank(frame: Frame) -> str | None:
    """Say whether nearly all of a frame has one colour, as a loading screen or a black frame has.

    Of the native frames no more than 0.00 have the most common colour.
    """
    common = np.median(frame.reshape(-1, 3), axis=0)
    # In 16 bits, for uint8 differences wrap around.
    distance = np.abs(frame.astype(np.int16) - common.astype(np.int16)).max(axis=2)
    share = float((distance <= SAME_LEVELS).mean())
    if share < BLANK_SHARE:
        return None
    colour = "black" if common.max() <= 8 else "of one colour"
    return f"is {colour}: {100 * share:.1f} % of its pixels are within {SAME_LEVELS} levels"


def frozen(frame: Frame, previous: Frame) -> str | None:
    """Say whether a frame repeats the `previous` one of its scene, but for a counter or so.

    Consecutive frames at 30 a second differ in 39 % of their pixels and more.
    """
    if frame.shape != previous.shape:
        return None
    distance = np.abs(frame.astype(np.int16) - previous.astype(np.int16)).max(axis=2)
    same = float((distance <= SAME_LEVELS).mean())
    if same < FROZEN_SHARE:
        return None
    return f"is frozen: {100 * same:.2f} % of its pixels repeat the frame before"


SHIFT_LIMIT_PX = 0.2
"""In low-resolution pixels. Native pairs: median 0.02, largest 0.10."""
UNDOING_GAIN_DB = 0.3
"""By how much undoing a shift must bring a pair closer to be believed; native pairs: 0.13 dB."""
GRID = 3
SHIFTED_TILES = 3
"""Of GRID x GRID. Native pairs: 1 at most; a kart one frame (1/30 s) apart: 4 to 6."""
SMALLEST_TILE = 48
CORRELATION = 0.8
"""Of luma. Native pairs: 0.90 and more; one frame apart 0.40 to 0.85."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How a low frame lies on its high one: `reason` to drop the pair, or `note` to pass on.

    `shift_px` is how far (x, y), in low-resolution pixels, the high frame's content lies to the
    right of and below the low one's; None where the picture is too flat to say.
    """

    shift_px: tuple[float, float] | None
    reason: str | None = None
    note: str | None = None


def align(low: Frame, high: Frame) -> Alignment:
    """Measure by phase correlation whether both frames show the same, at the same place.

    Luma of the low frame is enlarged with centres of pixels aligned, as renders have them. Phase
    correlation finds any peak in flat or repetitive content, and its response does not tell which
    to trust. So a shift counts only when undoing it brings the pair closer together; otherwise
    the pair stays, with a note. Single tiles are looked at as well: a camera that moved between
    the two renders shifts some parts one way, others another.
    """
    import cv2

    reference = _luma(high)
    enlarged: Plane = cv2.resize(
        _luma(low), (high.shape[1], high.shape[0]), interpolation=cv2.INTER_CUBIC
    )
    scale = high.shape[0] / low.shape[0]
    correlation = float(np.corrcoef(enlarged.ravel(), reference.ravel())[0, 1])
    whole = _shift(enlarged, reference, scale)
    if whole.far and whole.believed:
        x, y = whole.shift_px
        reason = f"is misaligned by ({x:+.2f}, {y:+.2f}) low-resolution pixels"
        return Alignment(shift_px=whole.shift_px, reason=reason)
    shown = None if whole.far else whole.shift_px
    if correlation < CORRELATION:
        reason = f"shows two different instants: their luma correlates by {correlation:.2f} only"
        return Alignment(shift_px=shown, reason=reason)
    tiles = [_shift(a, b, scale) for a, b in zip(_tiles(enlarged), _tiles(reference), strict=True)]
    moved = sum(tile.far and tile.believed for tile in tiles)
    if moved >= SHIFTED_TILES:
        reason = f"is misaligned in {moved} of {len(tiles)} parts: taken at two instants"
        return Alignment(shift_px=shown, reason=reason)
    note = "is too flat or repetitive to measure its alignment" if whole.far else None
    return Alignment(shift_px=shown, note=note)


UNEXPLAINED_LIMIT = 0.13
DETAILED_SHARE = 0.02
DETAILED_LEAST = 100
"""Fewer detailed pixels than this do not allow an answer."""


def unexplained_detail(low: Frame, high: Frame, scale: Fraction) -> float | None:
    """Return which part of the low frame's detail is no resize of the high frame; None if flat.

    A resize with whatever kernel is a linear function of the high frame, and so nearly a mixture of
    resizes with the common kernels; fitted are the 2 % of pixels where those differ most among one
    another. Returned is the error of the best mixture over that difference, both root mean squares
    of luma: 0 for a resize with one of the kernels, 0.4 and more for most native renders, whose
    edges and textures fall elsewhere.
    """
    lumas = np.stack([_luma(each) for each in (*_nearest(high, scale), *_resizes(high, scale))])
    # The two nearest neighbours may lie half a pixel apart, which would drown all other kernels.
    spread = lumas[2:].max(axis=0) - lumas[2:].min(axis=0)
    detailed = spread >= max(1.0, float(np.quantile(spread, 1 - DETAILED_SHARE)))
    if np.count_nonzero(detailed) < DETAILED_LEAST:
        return None
    mixed = np.vstack([lumas[:, detailed], np.ones(np.count_nonzero(detailed))]).T
    wanted = _luma(low)[detailed].astype(np.float64)
    shares = np.linalg.lstsq(mixed, wanted, rcond=None)[0]
    error = np.square(mixed @ shares - wanted).mean()
    return float(np.sqrt(error / np.square(spread[detailed]).mean()))


def resized(unexplained: float | None) -> str | None:
    """Say whether what `unexplained_detail` returned is that of a resize."""
    if unexplained is None or unexplained >= UNEXPLAINED_LIMIT:
        return None
    return (
        "is no pair of renders: the low-resolution frame is a resize of the other "
        f"({100 * unexplained:.1f} % of its detail is its own)"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shift:
    """Shift of one plane against another; `believed` when undoing it helps."""

    shift_px: tuple[float, float]
    believed: bool

    @property
    def far(self) -> bool:
        return hypot(*self.shift_px) > SHIFT_LIMIT_PX


def _shift(enlarged: Plane, reference: Plane, scale: float) -> _Shift:
    import cv2

    height, width = reference.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(enlarged, reference, window)
    shift_px = (x / scale, y / scale)
    border = ceil(max(abs(x), abs(y))) + 4  # what the shift brings in from outside, and cubic taps
    if 3 * border > min(width, height):
        return _Shift(shift_px=shift_px, believed=False)
    undone = cv2.warpAffine(
        enlarged, np.array([[1, 0, x], [0, 1, y]]), (width, height), flags=cv2.INTER_CUBIC
    )
    inside = slice(border, height - border), slice(border, width - border)
    before, after = (
        float(np.square(each[inside] - reference[inside]).mean()) for each in (enlarged, undone)
    )
    # A hundredth of a level: two flat planes are equal, not infinitely better than each other.
    gain_db = 10 * log10((before + 0.01) / (after + 0.01))
    return _Shift(shift_px=shift_px, believed=gain_db > UNDOING_GAIN_DB)


def _tiles(plane: Plane) -> list[Plane]:
    """Cut a plane into GRID x GRID tiles; none where they would be too small to measure."""
    if min(plane.shape) // GRID < SMALLEST_TILE:
        return []
    return [
        np.ascontiguousarray(tile)
        for band in np.array_split(plane, GRID, axis=0)
        for tile in np.array_split(band, GRID, axis=1)
    ]


def _nearest(high: Frame, scale: Fraction) -> list[Frame]:
    """Pick pixels without a kernel, rounding their positions in the two ways that are common."""
    import cv2

    size = tuple(int(side / scale) for side in high.shape[1::-1])
    kinds = (cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT)
    return [cv2.resize(high, size, interpolation=kind) for kind in kinds]


def _resizes(high: Frame, scale: Fraction) -> list[Frame]:
    """Resize by the common kernels, with and without a filter against aliasing."""
    import cv2

    size = tuple(int(side / scale) for side in high.shape[1::-1])
    kinds = (cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
    soft = cv2.GaussianBlur(high, (0, 0), float(scale) / 2)
    return [
        *(cv2.resize(high, size, interpolation=kind) for kind in kinds),
        degrade(high, scale, "bicubic"),
        degrade(high, scale, "point"),
        cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR),
    ]


def _luma(frame: Frame) -> Plane:
    import cv2

    plane: Plane = cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_RGB2GRAY)
    return plane
