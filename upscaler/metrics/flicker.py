"""Temporal flicker: how much of the error moves otherwise than the picture does.

An upscaler's error that stays on its surface (a brick that is a little soft in every frame) does
not flicker. One that comes and goes does: an edge that crawls, a wire that breaks up. Native
renders are aliased and flicker too, so it is not the change of the result that counts but the
change of its error against the native render, `e = upscaled - native`.

Comparing `e` with that of the frame before at the same pixel would not measure this. When the
camera moves, the pixel shows another surface, the two errors have nothing to do with one another,
and the figure is sqrt(2) times the RMS error: on the SuperTuxKart sequence 0.95 to 0.97 of that for
every method, so PSNR once more. The error is therefore followed along the motion of the native
render, as the warping error of Lai et al. (Learning Blind Video Temporal Consistency, 2018) does:

    flicker(t) = RMS over visible x of  e(t, x) - e(t - 1, x + m(x))     in levels of 8 bits

where `m` is dense optical flow (DIS, Kroeger et al., 2016) between the native frames, the same for
every method. A pixel is visible where the flow there and back meets within half a pixel and the
native frames agree along it; uncovered and badly tracked pixels say nothing. 0 means that the
result changes exactly as the native render does.

What to expect, in shares of sqrt(2) times the RMS error of the visible pixels, on the OpenArena and
the SuperTuxKart sequence: independent noise 0.86 (`e` of the frame before is interpolated, which
smooths it), FSR1 0.25 and 0.63, bicubic 0.21 and 0.57, an error that travels perfectly with the
picture (the native render, shifted by a pixel) 0.13 and 0.31. That last floor is the flow's own, so
the measure compares methods on a sequence, and not sequences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscaler.contract import Frame
from upscaler.metrics.pictures import comparable

SMALLEST_SIDE = 12
"""In pixels; the flow's patches are 8 wide, and it starts at a coarser level."""
ROUND_TRIP = 0.5
"""Pixels by which the flow there and back may miss."""
DISAGREEMENT = 8.0
"""Levels by which the native frames may differ along the flow, worst channel, mean over 5x5."""
NEIGHBOURHOOD = 5

SignedError = NDArray[np.float32]
"""(H, W, channels), upscaled minus native, in levels of 8 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Where the pixels of a frame were in the frame before.

    `origin` is (H, W, 2) float32, x and y in pixels; `visible` is (H, W) bool, true where the
    origin is to be trusted.
    """

    origin: NDArray[np.float32]
    visible: NDArray[np.bool_]

    @property
    def share(self) -> float:
        """Share of the pixels that is visible; near 0 across a cut."""
        return float(self.visible.mean())


def motion_between(before: Frame, after: Frame) -> Motion:
    """Track the pixels of the native frame `after` back to the native frame `before`.

    Both are (H, W, 3) uint8 RGB of one size. Raises ValueError for frames that cannot be compared,
    or with a side of less than 12 pixels.
    """
    import cv2

    before, after = comparable(before, after)
    height, width = after.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        msg = f"motion needs sides of {SMALLEST_SIDE} pixels or more, not {width}x{height}"
        raise ValueError(msg)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey_before, grey_after = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (before, after))
    back = flow.calc(grey_after, grey_before, None)
    forth = flow.calc(grey_before, grey_after, None)
    rows, columns = np.indices((height, width), np.float32)
    origin = np.stack([columns, rows], axis=-1) + back
    missed = np.linalg.norm(back + _along(forth, origin), axis=-1)
    inside = ((origin >= 0) & (origin <= (width - 1, height - 1))).all(axis=-1)
    change = np.abs(after - _along(before.astype(np.float32), origin)).max(axis=-1)
    agreeing = cv2.blur(change, (NEIGHBOURHOOD, NEIGHBOURHOOD)) <= DISAGREEMENT
    return Motion(origin=origin, visible=inside & (missed <= ROUND_TRIP) & agreeing)


def signed_error(upscaled: Frame, native: Frame) -> SignedError:
    """Return `upscaled - native` in levels; both are (H, W, channels) uint8 of one shape.

    Raises ValueError for frames that cannot be compared.
    """
    upscaled, native = comparable(upscaled, native)
    return np.subtract(upscaled, native, dtype=np.float32)


def flicker_levels(before: SignedError, after: SignedError, motion: Motion) -> float:
    """Return the RMS in levels by which the error changes along `motion`, over visible pixels.

    `before` and `after` are the errors of two consecutive frames, of one shape. Raises ValueError
    when no pixel is visible, since nothing can be said across a cut.
    """
    if not motion.visible.any():
        msg = "flicker cannot be measured across a cut: no pixel is visible in both frames"
        raise ValueError(msg)
    change = (after - _along(before, motion.origin))[motion.visible]
    return float(np.sqrt(np.mean(np.square(change), dtype=np.float64)))


def _along(field: NDArray[np.float32], origin: NDArray[np.float32]) -> NDArray[np.float32]:
    """Read a (H, W, channels) field at positions between pixels, bilinearly."""
    import cv2

    read: NDArray[np.float32] = cv2.remap(field, origin, None, cv2.INTER_LINEAR)
    return read
