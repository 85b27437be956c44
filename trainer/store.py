"""Prepared pairs: one memory-mapped file of pixels, and an index that says what lies where.

A store is a folder of two files. `pixels.u8` holds every image as (height, width, 3) uint8 RGB, one
after the other without gaps; `store.json` names scale, pairs and what `prepare` dropped and why.
Pixels are mapped, not read: a store may be larger than memory, opening it costs nothing, and
processes that train side by side share the same pages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import msgspec
import numpy as np

from protocol.errors import BadImageError, BadRequestError
from protocol.frames import MAX_SIDE, Size, parse_scale, upscaled_size
from upscaler.contract import Frame

INDEX, PIXELS = "store.json", "pixels.u8"
FORMAT = 1
RGB = 3
NATIVE = "native"
"""The degradation of a store whose low-resolution frames are renders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePair:
    """One instant in two sizes: (H, W, 3) uint8 RGB each, `high` exactly `scale` times `low`.

    In a store both are views of the mapped file.
    """

    name: str
    game: str
    scene: str
    licence: str
    split: str
    low: Frame
    high: Frame


Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]


class Extent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an image lies: `offset` in pixels from the start of the file."""

    offset: Annotated[int, msgspec.Meta(ge=0)]
    height: Side
    width: Side


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pair of the index."""

    name: str
    game: str
    scene: str
    licence: str
    split: str
    low: Extent
    high: Extent


class Remark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `prepare` has to say of a pair; the reason ends a sentence that the name begins."""

    name: str
    reason: str


class Index(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `store.json` holds. `degradation` is "native" for low-resolution renders.

    `dropped` are pairs that were left out, `noted` are some that are in nevertheless.
    """

    format: int
    scale: str
    degradation: str
    pairs: list[Entry]
    dropped: list[Remark] = []
    noted: list[Remark] = []


class Store:
    """A prepared folder, opened for reading; `scale` is the ratio of the sides of every pair."""

    def __init__(self, root: Path) -> None:
        """Map the pixels of the store in `root`.

        Raises BadImageError, naming the file, when it is missing, damaged or cut short.
        """
        self.root = root
        path = root / INDEX
        try:
            self.index = msgspec.json.decode(path.read_bytes(), type=Index)
        except OSError as error:
            msg = (
                f"{root} is no prepared store ({path.name}: {error.strerror or error}); "
                "make one with upscaler-train prepare"
            )
            raise BadImageError(msg) from error
        except msgspec.DecodeError as error:
            msg = f"{path} is damaged ({error}); run upscaler-train prepare again"
            raise BadImageError(msg) from error
        if self.index.format != FORMAT:
            msg = f"{path} has format {self.index.format}, not {FORMAT}; run prepare again"
            raise BadImageError(msg)
        try:
            self.scale = parse_scale(self.index.scale)
            for entry in self.index.pairs:
                _check_ratio(entry.name, entry.low, entry.high, self.scale)
        except (BadRequestError, ValueError) as error:
            msg = f"{path} is damaged ({error}); run upscaler-train prepare again"
            raise BadImageError(msg) from error
        self.pixels = self._map()

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ for stores of other pairs."""
        return hashlib.sha256(msgspec.json.encode(self.index)).hexdigest()[:16]

    def pairs(self, split: str) -> list[FramePair]:
        """Return the pairs of one split, ordered by name, as views of the mapped file.

        Raises BadImageError when there is none.
        """
        found = self.entries(split)
        if not found:
            splits = ", ".join(sorted({entry.split for entry in self.index.pairs})) or "none"
            msg = f"{self.root} has no pair of split {split!r}; it has {splits}"
            raise BadImageError(msg)
        return [self._pair(entry) for entry in found]

    def entries(self, split: str) -> list[Entry]:
        """Index entries in the order of `pairs`; empty when there is none."""
        found = [entry for entry in self.index.pairs if entry.split == split]
        return sorted(found, key=lambda entry: entry.name)

    def _pair(self, entry: Entry) -> FramePair:
        return FramePair(
            name=entry.name,
            game=entry.game,
            scene=entry.scene,
            licence=entry.licence,
            split=entry.split,
            low=self._view(entry.low),
            high=self._view(entry.high),
        )

    def _view(self, extent: Extent) -> Frame:
        stop = extent.offset + extent.height * extent.width
        view = self.pixels[extent.offset : stop].reshape(extent.height, extent.width, RGB)
        view.flags.writeable = False
        return view

    def _map(self) -> Frame:
        """Map the file as (pixels, 3); copy-on-write, which torch takes for writable."""
        path = self.root / PIXELS
        extents = [each for entry in self.index.pairs for each in (entry.low, entry.high)]
        needed = max((each.offset + each.height * each.width for each in extents), default=0)
        try:
            held = path.stat().st_size
            if held < needed * RGB:
                msg = f"{path} is cut short: {held} of {needed * RGB} bytes; run prepare again"
                raise BadImageError(msg)
            mapped: Frame = np.memmap(path, np.uint8, mode="c", shape=(held // RGB, RGB))
        except (OSError, ValueError) as error:
            msg = f"cannot map {path}: {error}; run upscaler-train prepare again"
            raise BadImageError(msg) from error
        return mapped


class StoreWriter:
    """Writes a store; it appears whole when the `with` block ends well, or not at all.

    Raises BadRequestError, naming the folder, when that exists or cannot be written, as on a full
    disk.
    """

    def __init__(self, root: Path, *, scale: Fraction, degradation: str) -> None:
        self._root = root
        self._scale = scale
        self._degradation = degradation
        self._pairs: list[Entry] = []
        self._dropped: list[Remark] = []
        self._noted: list[Remark] = []
        self._written = 0

    def __enter__(self) -> Self:
        if self._root.exists():
            msg = f"{self._root} exists; name another folder or remove it"
            raise BadRequestError(msg)
        # Another process may be preparing the same; the one that ends first wins. Folders above
        # that are missing are made in the end, for then a run that fails leaves none behind.
        above = next(folder for folder in self._root.absolute().parents if folder.exists())
        self.draft = above / f".{self._root.name}.{os.getpid()}.draft"
        """The folder while it is written; what else is put into it becomes part of the store."""
        try:
            if self.draft.exists():
                shutil.rmtree(self.draft)  # left by a run that was killed and had this number
            self.draft.mkdir()
            self._file = (self.draft / PIXELS).open("wb")
        except OSError as error:
            raise self._failed(error) from error
        return self

    def add(self, pair: FramePair) -> None:
        """Append a pair.

        Raises ValueError when its sides do not stand in the ratio of the store.
        """
        low, high = (
            Extent(offset=0, height=image.shape[0], width=image.shape[1])
            for image in (pair.low, pair.high)
        )
        _check_ratio(pair.name, low, high, self._scale)
        self._pairs.append(
            Entry(
                name=pair.name,
                game=pair.game,
                scene=pair.scene,
                licence=pair.licence,
                split=pair.split,
                low=self._append(pair.low),
                high=self._append(pair.high),
            )
        )

    def drop(self, name: str, reason: str) -> None:
        """Write down that a pair is left out, and why."""
        self._dropped.append(Remark(name=name, reason=reason))

    def note(self, name: str, reason: str) -> None:
        """Write down what is to be known of a pair that is in."""
        self._noted.append(Remark(name=name, reason=reason))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
            else:
                with suppress(OSError):  # what is being raised says more
                    self._file.close()
        finally:
            shutil.rmtree(self.draft, ignore_errors=True)

    def _finish(self) -> None:
        index = Index(
            format=FORMAT,
            scale=str(self._scale),
            degradation=self._degradation,
            pairs=self._pairs,
            dropped=self._dropped,
            noted=self._noted,
        )
        try:
            self._file.close()
            text = msgspec.json.format(msgspec.json.encode(index), indent=1)
            (self.draft / INDEX).write_bytes(text)
            self._root.parent.mkdir(parents=True, exist_ok=True)
            self.draft.rename(self._root)
        except OSError as error:
            raise self._failed(error) from error

    def _append(self, image: Frame) -> Extent:
        extent = Extent(offset=self._written, height=image.shape[0], width=image.shape[1])
        try:
            self._file.write(np.ascontiguousarray(image).data)
        except OSError as error:
            raise self._failed(error) from error
        self._written += extent.height * extent.width
        return extent

    def _failed(self, error: OSError) -> BadRequestError:
        held = f" after {self._written * RGB / 1e6:.0f} MB" if self._written else ""
        return BadRequestError(f"cannot write {self._root}: {error.strerror or error}{held}")


def _check_ratio(name: str, low: Extent, high: Extent, scale: Fraction) -> None:
    """Raise ValueError unless `high` is `scale` times `low`, and BadRequestError for odd sides."""
    small, large = (Size(each.width, each.height) for each in (low, high))
    if upscaled_size(small, scale) != large:
        msg = f"{name} is {small} and {large}, not at {scale}x"
        raise ValueError(msg)
