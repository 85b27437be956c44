"""A contact sheet: some pairs side by side, for people would rather look than read."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from trainer.store import FramePair
from upscaler.contract import Frame

CELL_WIDTH, CELL_HEIGHT = 480, 270
CAPTION_HEIGHT = 24
GAP = 12
COLUMNS = 2
FONT, FONT_SCALE = 0, 0.5  # OpenCV's FONT_HERSHEY_SIMPLEX
PAPER, INK = (22, 24, 29), (232, 232, 234)
PER_GROUP, MOST = 3, 24
"""Pairs of one game and split, each of another scene, and pairs in all."""


class ContactSheet:
    """Collects a detail of some of the pairs it is shown, and draws them."""

    def __init__(self, scale: Fraction) -> None:
        self._scale = scale
        self._scenes: dict[tuple[str, str], set[str]] = {}
        self._cells: list[Frame] = []

    def show(self, pair: FramePair) -> None:
        """Take a pair of a game, split and scene that the sheet has too little of."""
        scenes = self._scenes.setdefault((pair.game, pair.split), set())
        if pair.scene in scenes or len(scenes) >= PER_GROUP or len(self._cells) >= MOST:
            return
        scenes.add(pair.scene)
        self._cells.append(_cell(pair, self._scale))

    def draw(self) -> Frame:
        """Return the sheet, (H, W, 3) uint8 RGB.

        Left the low-resolution render, right the high one, in whole pixels without a filter; the
        sizes in the captions are those of the whole frames.

        Raises ValueError when no pair was shown.
        """
        if not self._cells:
            msg = "a contact sheet needs a pair"
            raise ValueError(msg)
        columns = min(COLUMNS, len(self._cells))
        rows = -(-len(self._cells) // columns)
        height, width = self._cells[0].shape[:2]
        sheet = _blank(rows * (height + GAP) + GAP, columns * (width + GAP) + GAP)
        for index, cell in enumerate(self._cells):
            row, column = divmod(index, columns)
            top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
            sheet[top : top + height, left : left + width] = cell
        return sheet


def _cell(pair: FramePair, scale: Fraction) -> Frame:
    """Caption, and below it the same detail of both frames, enlarged to the same size."""
    # Both by a whole number: at 1.5x three and two times, at 2x four and two times.
    factor = max(1, 4 // scale.numerator)
    enlarge_low, enlarge_high = scale.numerator * factor, scale.denominator * factor
    block = scale.denominator
    height, width = (
        min(side, cell // enlarge_low) // block * block
        for side, cell in zip(pair.low.shape[:2], (CELL_HEIGHT, CELL_WIDTH), strict=True)
    )
    top, left = _liveliest(pair.low, height, width, block)
    low = pair.low[top : top + height, left : left + width]
    above, beside, tall, wide = (int(scale * each) for each in (top, left, height, width))
    high = pair.high[above : above + tall, beside : beside + wide]
    cell = _blank(CAPTION_HEIGHT + CELL_HEIGHT, 2 * CELL_WIDTH + GAP // 2)
    for picture, enlarge, start in ((low, enlarge_low, 0), (high, enlarge_high, -CELL_WIDTH)):
        shown = picture.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
        start_column = start % cell.shape[1]
        cell[CAPTION_HEIGHT:][: shown.shape[0], start_column : start_column + shown.shape[1]] = (
            shown
        )
    name = pair.name.encode("ascii", "replace").decode()
    rest = f" ({pair.split}) {pair.low.shape[1]}x{pair.low.shape[0]}"
    _write(cell, _shortened(name, rest), left=0)
    _write(cell, f"{pair.high.shape[1]}x{pair.high.shape[0]}", left=cell.shape[1] - CELL_WIDTH)
    return cell


def _shortened(name: str, rest: str) -> str:
    """Both, without the beginning of the name where they are too long for the low frame's half."""
    import cv2

    # No letter is narrower than a pixel, so that more of them need not be tried.
    for start in range(max(0, len(name) - CELL_WIDTH), len(name)):
        text = ("..." if start else "") + name[start:] + rest
        if cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0] <= CELL_WIDTH - 2:
            return text
    return rest


def _write(cell: Frame, text: str, *, left: int) -> None:
    import cv2

    baseline = (left + 2, CAPTION_HEIGHT - 8)
    cv2.putText(cell, text, baseline, FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)


def _liveliest(low: Frame, height: int, width: int, block: int) -> tuple[int, int]:
    """Top left of the window of most contrast, on a grid of half windows; multiples of `block`."""
    steps = [max(block, side // 2 // block * block) for side in (height, width)]
    corners = [
        (top, left)
        for top in range(0, low.shape[0] - height + 1, steps[0])
        for left in range(0, low.shape[1] - width + 1, steps[1])
    ]
    return max(corners, key=lambda at: low[at[0] : at[0] + height, at[1] : at[1] + width].std())


def _blank(height: int, width: int) -> Frame:
    return np.full((height, width, 3), PAPER, np.uint8)
