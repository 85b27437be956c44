"""Upscales every frame by every method, measures the results, and keeps the pictures that matter.

Upscaling has the methods' own threads, so it happens on one thread, frame after frame; measuring
and writing pictures happens on others, a few frames behind. What is in memory is bounded by how far
behind they may be, and not by the number of frames.

A long video would leave thousands of pictures. Only those of the worst frames are kept: a frame's
are written when it is among the worst so far, and removed when worse ones have come.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np

from protocol.errors import BadImageError, UpscalerError
from protocol.frames import Size
from upscaler.compare.crops import find_crops
from upscaler.compare.inputs import Shot, result_size
from upscaler.compare.methods import Contestant
from upscaler.compare.report import Embedded, encode_picture
from upscaler.compare.results import NATIVE, Failure, Figures, FrameResult
from upscaler.contract import Frame
from upscaler.images import write_image
from upscaler.metrics import (
    flicker_levels,
    motion_between,
    psnr_db,
    signed_error,
    ssim_rgb,
)

PICTURES = "pictures"
WORKERS = max(1, min(4, os.cpu_count() or 1))
FLIP_PEAK = 0.5
"""FLIP error that is white in a heat map; what upscalers leave is mostly below."""
SAFE = "abcdefghijklmnopqrstuvwxyz0123456789.-_"

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do with each frame. `pictures` bounds the frames whose pictures are kept."""

    contestants: Sequence[Contestant]
    scale: Fraction
    out: Path
    pictures: int
    flip: bool
    keep_going: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Upscaled:
    """One frame, upscaled by every method. All are (height, width, 3) uint8 BGR of one size."""

    shot: Shot
    input_size: Size
    results: dict[str, Frame]
    native: Frame | None

    @property
    def size(self) -> Size:
        """Size of the results."""
        height, width = next(iter(self.results.values())).shape[:2]
        return Size(width, height)


@dataclass(slots=True)
class Outcome:
    """What became of the frames so far; complete at the end of `measure`."""

    frames: list[FrameResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    sizes: dict[tuple[Size, Size], Frame] = field(default_factory=dict)
    """A low-resolution frame of every pair of sizes that came, for timing."""
    encoded: dict[str, Embedded] = field(default_factory=dict)
    """Pictures as a report embeds them, by their paths."""


def measure(shots: Iterator[Shot], plan: Plan, outcome: Outcome, done: Callable[[], None]) -> None:
    """Compare all shots into `outcome`, worst frames first; calls `done` after each.

    Raises the first error of a frame, unless the plan keeps going: then it becomes a failure. On an
    interrupt, `outcome` holds what was measured until then.
    """
    gallery = _Gallery(plan)
    running: deque[tuple[str, Future[FrameResult]]] = deque()

    def collect(at_most: int) -> None:
        while len(running) > at_most:
            name, future = running.popleft()
            frame = _unless_failing(future.result, name, plan, outcome)
            if frame is not None:
                outcome.frames.append(frame)
            done()

    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="measure")
    try:
        before = None
        for shot in shots:
            previous, before = before if shot.follows else None, None
            now = _unless_failing(partial(_upscale, shot, plan, outcome), shot.name, plan, outcome)
            if now is None:
                done()
                continue
            running.append((shot.name, pool.submit(_measure, now, previous, plan, gallery)))
            before = now
            collect(WORKERS)
        collect(0)
    finally:
        pool.shutdown(cancel_futures=True)
        # What was under way when an interrupt or an error came has been measured, too.
        for _, future in running:
            if not future.cancelled() and future.exception() is None:
                outcome.frames.append(future.result())
        outcome.frames = gallery.with_pictures(outcome.frames)
        outcome.encoded = gallery.encoded


def _unless_failing(
    act: Callable[[], Done], name: str, plan: Plan, outcome: Outcome
) -> Done | None:
    """Give an error the frame's name, and note it instead of raising it if the plan keeps going."""
    try:
        return act()
    except (UpscalerError, ValueError) as error:  # metrics raise ValueError, as for tiny pictures
        if plan.keep_going:
            outcome.failures.append(Failure(name=name, reason=str(error)))
            return None
        if isinstance(error, BadImageError):
            raise  # names its file
        msg = f"{name}: {error}"
        kind = type(error) if isinstance(error, UpscalerError) else BadImageError
        raise kind(msg) from error


def _upscale(shot: Shot, plan: Plan, outcome: Outcome) -> Upscaled:
    low, native = shot.load()
    size, upscaled = (
        Size(low.shape[1], low.shape[0]),
        result_size(low, native, scale=plan.scale, where=shot.where),
    )
    results = {}
    for contestant in plan.contestants:
        upscaler = contestant.opened(size, upscaled)
        height, width = upscaler.output_shape[:2]
        if Size(width, height) != upscaled:
            msg = (
                f"{shot.where} is {upscaled}, but {contestant.key} makes {width}x{height} of {size}"
            )
            raise BadImageError(msg)
        results[contestant.key] = np.empty(upscaler.output_shape, np.uint8)
        upscaler(low, results[contestant.key])
    outcome.sizes.setdefault((size, upscaled), low)
    return Upscaled(shot=shot, input_size=size, results=results, native=native)


def _measure(now: Upscaled, before: Upscaled | None, plan: Plan, gallery: _Gallery) -> FrameResult:
    from upscaler.metrics import FlipReference

    figures: dict[str, Figures] = {key: {} for key in now.results}
    heat: dict[str, Frame] = {}
    if now.native is not None:
        reference = FlipReference(_rgb(now.native)) if plan.flip else None
        for key, result in now.results.items():
            figures[key] |= {
                "psnr_db": psnr_db(result, now.native),
                "ssim": ssim_rgb(result, now.native),
            }
            if reference is not None:
                errors = reference.map(_rgb(result))
                figures[key]["flip"] = float(errors.mean(dtype=np.float64))
                heat[key] = np.rint(np.minimum(errors / FLIP_PEAK, 1) * 255).astype(np.uint8)
        if before is not None and before.native is not None and before.size == now.size:
            _add_flicker(figures, now, before)
    frame = FrameResult(
        name=now.shot.name,
        scene=now.shot.scene,
        input_size=str(now.input_size),
        width=now.size.width,
        height=now.size.height,
        methods=figures,
        crops=[],
        pictures={},
        flip_maps={},
    )
    gallery.offer(badness(frame), now, heat)
    return frame


def _add_flicker(figures: dict[str, Figures], now: Upscaled, before: Upscaled) -> None:
    assert now.native is not None
    assert before.native is not None
    motion = motion_between(_rgb(before.native), _rgb(now.native))
    if not motion.visible.any():
        return  # a cut: nothing can be said
    for key, result in now.results.items():
        figures[key]["flicker"] = flicker_levels(
            signed_error(before.results[key], before.native),
            signed_error(result, now.native),
            motion,
        )


def badness(frame: FrameResult) -> float:
    """Return how bad a frame is for the first method: its PSNR, negated; 0 without a reference."""
    psnr = next(iter(frame.methods.values())).get("psnr_db")
    return 0.0 if psnr is None else -psnr


class _Gallery:
    """Keeps the pictures of the worst frames on disk. Used by several threads."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = Lock()
        self._kept: dict[str, float] = {}
        self._finished: dict[str, FrameResult] = {}
        self.encoded: dict[str, Embedded] = {}
        self._files = _file_names([each.key for each in plan.contestants])
        self._folders: dict[str, Path] = {}

    def offer(self, bad: float, frame: Upscaled, heat: dict[str, Frame]) -> None:
        """Write a frame's pictures if it is among the worst so far."""
        name = frame.shot.name
        with self._lock:
            self._kept[name] = bad
            if len(self._kept) > self._plan.pictures:
                mildest = min(self._kept, key=self._kept.__getitem__)
                del self._kept[mildest]
                finished = self._finished.pop(mildest, None)
                if finished is not None:
                    self._remove(finished)
            if name not in self._kept:
                return
            folder = self._folder(name)
        written, encoded = self._write(folder, frame, heat)
        with self._lock:
            self.encoded |= encoded
            if name in self._kept:
                self._finished[name] = written
            else:  # worse ones came meanwhile
                self._remove(written)

    def _remove(self, frame: FrameResult) -> None:
        shutil.rmtree(self._folder(frame.name), ignore_errors=True)
        for file in (*frame.pictures.values(), *frame.flip_maps.values()):
            self.encoded.pop(file, None)

    def with_pictures(self, frames: Sequence[FrameResult]) -> list[FrameResult]:
        """Return the frames, worst first, those that were kept with their pictures."""
        import msgspec

        found = []
        for frame in sorted(frames, key=badness, reverse=True):
            kept = self._finished.get(frame.name)
            found.append(
                frame
                if kept is None
                else msgspec.structs.replace(
                    frame, crops=kept.crops, pictures=kept.pictures, flip_maps=kept.flip_maps
                )
            )
        # Frames with pictures first, so that a page can show the first so many.
        return sorted(found, key=lambda frame: not frame.pictures)

    def _folder(self, name: str) -> Path:
        """A folder of its own for each frame, also where two names are alike once made safe."""
        if name not in self._folders:
            folder = self._plan.out / PICTURES / _safe(name)
            taken = folder in self._folders.values()
            self._folders[name] = (
                folder.with_name(f"{folder.name}-{len(self._folders)}") if taken else folder
            )
        return self._folders[name]

    def _write(
        self, folder: Path, frame: Upscaled, heat: dict[str, Frame]
    ) -> tuple[FrameResult, dict[str, Embedded]]:
        import cv2

        folder.mkdir(parents=True, exist_ok=True)
        crops = find_crops(list(frame.results.values()))
        pictures, maps = {}, {}
        encoded: dict[str, Embedded] = {}
        shown = dict(frame.results)
        if frame.native is not None:
            shown[NATIVE] = frame.native
        for key, picture in shown.items():
            path = folder / f"{self._files[key]}.png"
            write_image(path, picture)
            pictures[key] = path.relative_to(self._plan.out).as_posix()
            encoded[pictures[key]] = encode_picture(picture, crops)
        for key, levels in heat.items():
            path = folder / f"flip_{self._files[key]}.jpg"
            contents = encode_picture(cv2.applyColorMap(levels, cv2.COLORMAP_MAGMA), [])
            path.write_bytes(contents[0])
            maps[key] = path.relative_to(self._plan.out).as_posix()
            encoded[maps[key]] = contents
        result = FrameResult(
            name=frame.shot.name,
            scene=frame.shot.scene,
            input_size=str(frame.input_size),
            width=frame.size.width,
            height=frame.size.height,
            methods={},
            crops=crops,
            pictures=pictures,
            flip_maps=maps,
        )
        return result, encoded


def _file_names(keys: Sequence[str]) -> dict[str, str]:
    """A file name for each method, and for the native render; numbered where two would be one."""
    names: dict[str, str] = {}
    for key in [*keys, NATIVE]:
        name = _safe(key)
        names[key] = f"{name}-{len(names)}" if name in names.values() else name
    return names


def _safe(text: str) -> str:
    """Keep a name readable and harmless as the name of a file."""
    kept = "".join(letter if letter.lower() in SAFE else "_" for letter in text).lstrip(".")
    return kept[-100:] or "_"


def _rgb(bgr: Frame) -> Frame:
    return np.ascontiguousarray(bgr[:, :, ::-1])
