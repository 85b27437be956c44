"""Unchanged pixels cost nothing: a network is run where the frame changed, and nowhere else.

A value of the result depends on the input up to `reach` pixels away (`models.geometry`). So where
no pixel within reach changed, the last result still holds; elsewhere the same network, compiled for
a small window, computes the same values, for each window has `reach` pixels of surroundings on
every side, or ends where the frame ends. In eight bits this is exact: integer sums do not mind how
a frame is cut. In float they do, and float models are refused.

The frame is always compared with the one before, whoever sent it. An upscaler that several clients
share stays exact, it merely finds less to reuse.

Who owns what: `_source` and `_result` belong to the upscaler, and always match. Results are
computed from `_source`, never from the caller's frame, which somebody may still be writing to, and
are copied from `_result` to the caller, whose result is never read. A caller may thus spoil its own
picture, not that of the next. (It is tempting to leave a result alone that lies in the caller's
memory since last time; but nobody can tell what the caller did to it.)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadRequestError, EngineError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Engine, Frame, Upscaler, check_frames
from upscaler.engines.reuse_kernels import WORDS, cover, spread, take_changed
from upscaler.models.geometry import Geometry, geometry_of
from upscaler.models.library import Model
from upscaler.models.specialise import specialise
from upscaler.streaming import stream

log = logging.getLogger(__name__)

BLOCK = 8
"""Side of the blocks in which changes are found, in pixels, or a little more to hold cells."""
WINDOWS = ((64, 64), (128, 128), (320, 192))
"""Sizes of windows, (width, height) in pixels: a cursor, a line of text, a panel."""
PATIENCE = 3
"""After so many frames in a row that were computed whole, the frames count as moving."""
STILL_SHARE = 0.5
"""A moving picture stands when less than this share of its blocks changed, in the one row of each
that is looked at. Reuse pays up to 0.8 or so; the distance keeps a picture between the two from
going to and fro."""
WORTH = 0.9
"""Windows are run when they cost less than this share of a whole frame."""
CALIBRATIONS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseStatistics:
    """What became of the frames: `frames` is the sum of the next four.

    `moving` were hardly compared, as the ones before them had changed entirely; `whole` were, and
    computed whole. `windows` and `recomputed_pixels`, of the input, are those of the `partial`.
    """

    frames: int = 0
    unchanged: int = 0
    partial: int = 0
    whole: int = 0
    moving: int = 0
    windows: int = 0
    recomputed_pixels: int = 0

    def __str__(self) -> str:
        return (
            f"{self.frames} frames: {self.unchanged} unchanged, {self.partial} in part "
            f"({self.windows} windows), {self.whole + self.moving} whole"
        )


@dataclass(slots=True, kw_only=True)
class _Window:
    """A network for a cut of the frame, its memory, and how long it takes."""

    upscaler: Upscaler
    source: Frame
    result: Frame
    places: NDArray[np.intp]
    cost_ms: float = 0.0

    @property
    def height(self) -> int:
        return self.upscaler.input_shape[0]

    @property
    def width(self) -> int:
        return self.upscaler.input_shape[1]


def check_reusable(model: Model) -> None:
    """Raise BadRequestError for a model whose results may depend on how a frame is cut."""
    if not model.card.quantised:
        msg = (
            f"{model.card.name} is a float model: cut into windows it may round differently, and "
            "reuse must be exact; take the quantised model, or leave reuse out"
        )
        raise BadRequestError(msg)


def load_reusing(
    engine: Engine, model: Model, size: Size, pixel_format: PixelFormat
) -> ReusingUpscaler:
    """Load `model` for frames of one size and for windows of them.

    Raises BadRequestError as the engine does and for a float model, and EngineError when windows
    do not give the frame's results on this engine.
    """
    check_reusable(model)
    geometry = geometry_of(specialise(model, size, pixel_format), model.card.ratio)
    opened = [engine.load(model, size, pixel_format)]
    try:
        for window in window_sizes(size, geometry):
            opened.append(engine.load(model, window, pixel_format))  # noqa: PERF401 - closed below
        return ReusingUpscaler(opened[0], opened[1:], geometry)
    except BaseException:
        for upscaler in opened:
            upscaler.close()
        raise


def window_sizes(size: Size, geometry: Geometry) -> list[Size]:
    """Sizes of windows for frames of `size`, the smallest first; none for a frame that is small."""
    side, halo = _grid(geometry)
    cell = geometry.cell
    sizes = []
    for width, height in WINDOWS:
        window = Size(
            min(_up(max(width, side + 2 * halo), cell), size.width),
            min(_up(max(height, side + 2 * halo), cell), size.height),
        )
        if 2 * window.pixels <= size.pixels and window not in sizes:
            sizes.append(window)
    return sizes


class ReusingUpscaler:
    """An `Upscaler` that computes what changed since the frame before, exactly.

    Takes over `full`, for whole frames, and `windows`, for cuts of them, and closes them. It keeps
    a copy of the last frame and of its result. When most of the frame moves it lets frames pass
    straight through `full`, and looks at some rows of each until the picture stands.
    Allocates nothing per frame.

    At the start it compares windows with the frame they were cut from. Raises EngineError when they
    differ. `costs_ms`, for the frame and each of the windows, decide when a frame is computed
    whole; they are measured when None.
    """

    def __init__(
        self,
        full: Upscaler,
        windows: Sequence[Upscaler],
        geometry: Geometry,
        *,
        costs_ms: Sequence[float] | None = None,
    ) -> None:
        self.name = full.name
        self.engine = full.engine
        self.device = full.device
        self.emulated = full.emulated
        self.input_shape = full.input_shape
        self.output_shape = full.output_shape
        self._full = full
        self._scale = Fraction(full.output_shape[0], full.input_shape[0])
        self._side, self._halo = _grid(geometry)
        # A cell changes as a whole.
        self._spread = -(-self._halo // self._side)
        height, width, channels = full.input_shape
        grid = (-(-height // self._side), -(-width // self._side))
        self._changed = np.zeros(grid, np.uint8)
        self._dirty = np.zeros(grid, np.uint8)
        line, piece = width * channels, self._side * channels
        self._word = next(
            word
            for word in map(np.dtype, WORDS)
            if not (line % word.itemsize or piece % word.itemsize)
        )
        self._source: Frame = np.zeros(full.input_shape, np.uint8)
        self._result: Frame = np.zeros(full.output_shape, np.uint8)
        self._windows = [
            _Window(
                upscaler=each,
                source=np.zeros(each.input_shape, np.uint8),
                result=np.zeros(each.output_shape, np.uint8),
                # No two begin at the same block.
                places=np.zeros((self._changed.size, 6), np.intp),
            )
            for each in windows
        ]
        self._valid = False
        self._moving = False
        self._whole_in_a_row = 0
        self._closed = False
        self._statistics = ReuseStatistics()
        self._check_windows()
        self._full_ms, *window_costs_ms = costs_ms or self._measured_ms()
        for window, cost_ms in zip(self._windows, window_costs_ms, strict=True):
            window.cost_ms = cost_ms

    @property
    def statistics(self) -> ReuseStatistics:
        """What became of the frames so far."""
        return self._statistics

    def __call__(self, src: Frame, dst: Frame) -> None:
        """Upscale `src` into `dst`: C-contiguous uint8 of `input_shape` and `output_shape`.

        Raises what the network raises; the next frame is then computed whole.
        """
        if self._closed:
            msg = f"this {self.name} upscaler is closed; load the model again"
            raise EngineError(msg)
        check_frames(self, src, dst)
        if self._moving:
            if self._take_changed(src, step=self._side) >= STILL_SHARE * self._changed.size:
                self._full(src, dst)
                self._count(moving=1)
                return
            self._moving, self._whole_in_a_row = False, 0
        if self._valid:
            self._update(src)
        else:
            np.copyto(self._source, src)
            self._compute_whole()
        stream(self._result, dst)
        self._moving = self._whole_in_a_row >= PATIENCE
        self._valid = not self._moving

    def close(self) -> None:
        """Release what the runtime holds, and log what became of the frames. Idempotent."""
        if not self._closed:
            self._closed = True
            self._full.close()
            for window in self._windows:
                window.upscaler.close()
            log.info("%s with reuse, %s", self.name, self._statistics)

    def _update(self, src: Frame) -> None:
        """Bring source and result up to `src`."""
        self._valid = False  # until both match again
        if not self._take_changed(src):
            self._whole_in_a_row = 0
            self._count(unchanged=1)
            return
        spread(self._changed, self._dirty, self._spread)
        costs = [(self._cover(window) * window.cost_ms, window) for window in self._windows]
        cost_ms, window = min(costs, key=lambda each: each[0], default=(self._full_ms, None))
        if window is None or cost_ms >= WORTH * self._full_ms:
            self._compute_whole()
            return
        count = self._cover(window)
        for place in window.places[:count].tolist():
            self._compute(window, place)
        self._whole_in_a_row = 0
        self._count(
            partial=1,
            windows=count,
            recomputed_pixels=count * window.height * window.width,
        )

    def _compute_whole(self) -> None:
        self._valid = False
        self._full(self._source, self._result)
        self._whole_in_a_row += 1
        self._count(whole=1)

    def _compute(self, window: _Window, place: Sequence[int]) -> None:
        """Run one window, and take from it what `reuse_kernels.cover` says."""
        y, x, top, left, bottom, right = place
        np.copyto(window.source, self._source[y : y + window.height, x : x + window.width])
        window.upscaler(window.source, window.result)
        rows = slice(self._scaled(top - y), self._scaled(bottom - y))
        columns = slice(self._scaled(left - x), self._scaled(right - x))
        self._result[
            self._scaled(top) : self._scaled(bottom), self._scaled(left) : self._scaled(right)
        ] = window.result[rows, columns]

    def _scaled(self, position: int) -> int:
        """Position in the result; `position` is that of a cell."""
        return position * self._scale.numerator // self._scale.denominator

    def _cover(self, window: _Window) -> int:
        height, width, _ = self.input_shape
        count: int = cover(
            self._dirty,
            self._side,
            self._halo,
            window.height,
            window.width,
            height,
            width,
            window.places,
        )
        return count

    def _take_changed(self, src: Frame, step: int = 1) -> int:
        """Copy what changed in every `step`-th row to `_source`; return the number of blocks."""
        # A frame in shared memory or in a message may begin anywhere.
        word = self._word if src.ctypes.data % self._word.itemsize == 0 else np.dtype(np.uint8)
        new = src.reshape(src.shape[0], -1).view(word)
        old = self._source.reshape(src.shape[0], -1).view(word)
        words = self._side * self.input_shape[2] // word.itemsize
        # On one thread, as the copy of the result is: to wake a second one takes longer.
        marked: int = take_changed(new, old, self._changed, words, self._side, step)
        return marked

    def _check_windows(self) -> None:
        """Raise EngineError unless windows give the frame's results, at borders and inside."""
        random = np.random.default_rng(0)
        self._source[...] = random.integers(0, 256, self._source.shape, np.uint8)
        self._full(self._source, self._result)
        expected = self._result.copy()
        self._dirty[:] = 0
        rows, columns = self._dirty.shape
        self._dirty[np.ix_([0, rows // 2, rows - 1], [0, columns // 2, columns - 1])] = 1
        for window in self._windows:
            for place in window.places[: self._cover(window)].tolist():
                self._compute(window, place)
            if not np.array_equal(self._result, expected):
                height, width, _ = self.input_shape
                msg = (
                    f"{self.engine} computes {self.name} differently in a window of "
                    f"{window.width}x{window.height} than in a frame of {width}x{height}; reuse "
                    "would not be exact: leave it out, or choose another engine"
                )
                raise EngineError(msg)

    def _measured_ms(self) -> list[float]:
        """Time the frame and each window; everything has run once.

        The fastest of some runs: what is busy beside us now may not be so later. A window counts as
        no cheaper than its share of the frame, as it is within 5 %; when it seems to be, the frame
        was disturbed, and believing it would run more pixels in windows than the frame has.
        """
        ran = [(self._full, self._source, self._result)]
        ran += [(each.upscaler, each.source, each.result) for each in self._windows]
        rounds = 1 if self.emulated else CALIBRATIONS
        times = [[_timed(*each) for each in ran] for _ in range(rounds)]
        full_ms, *windows_ms = (min(each) for each in zip(*times, strict=True))
        pixels = self._full.input_shape[0] * self._full.input_shape[1]
        shares = [each.height * each.width / pixels for each in self._windows]
        return [
            full_ms,
            *(max(ms, share * full_ms) for ms, share in zip(windows_ms, shares, strict=True)),
        ]

    def _count(self, **more: int) -> None:
        now = self._statistics
        self._statistics = replace(
            now,
            frames=now.frames + 1,
            **{name: getattr(now, name) + count for name, count in more.items()},
        )


def _grid(geometry: Geometry) -> tuple[int, int]:
    """Side of a block and halo of a window, in pixels; both are whole cells."""
    return _up(BLOCK, geometry.cell), _up(geometry.reach, geometry.cell)


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _timed(upscaler: Upscaler, source: Frame, result: Frame) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter_ns()
    upscaler(source, result)
    return (time.perf_counter_ns() - began) / 1e6
