"""From files to a store: read, degrade or check each pair, write it or say why not.

Pairs are read and checked by a few threads ahead of the one that writes, so that only a handful of
frames is in memory. What a check finds wrong drops a pair; what cannot be read at all, or has
the wrong size, is a mistake in the data that ends the run.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from math import hypot
from pathlib import Path
from statistics import median

import numpy as np

from protocol.errors import BadImageError, UpscalerError
from protocol.frames import Size, upscaled_size
from trainer.checks import align, blank, frozen, resized, unexplained_detail
from trainer.contact import ContactSheet
from trainer.data import load_pair, read_rgb
from trainer.degrade import Degradation, degrade, fitting
from trainer.sources import TEST, TRAIN, VALIDATION, Source
from trainer.store import NATIVE, FramePair, Remark, StoreWriter
from upscaler.contract import Frame
from upscaler.images import write_image
from upscaler.pairs import Pair

CONTACT = "contact.png"
THREADS = min(4, os.cpu_count() or 1)
RESIZES_LIKELY = 0.2
"""Median of a game's unexplained detail. Native games: 0.39 and more. Resizes that went through
JPEG or sharpening, which single pairs do not give away: 0.03 to 0.13."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What the store holds of one game and split; megapixels are of the high frames."""

    game: str
    split: str
    scenes: int
    pairs: int
    megapixels: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of the pairs.

    `shifts_px` are the lengths of the measured shifts in low-resolution pixels, of native pairs
    that are in; `cropped` counts frames whose sides did not fit a degradation's scale.
    """

    groups: list[Group]
    dropped: list[Remark]
    noted: list[Remark]
    warnings: list[str]
    shifts_px: list[float]
    cropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Examined:
    """A pair that was read, and what is wrong with it or known of it."""

    pair: FramePair
    cropped: bool = False
    reason: str | None = None
    note: str | None = None
    shift_px: tuple[float, float] | None = None
    unexplained: float | None = None


@dataclass(slots=True)
class _Tally:
    """What is counted on the way."""

    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    scenes: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    pixels: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexplained: dict[str, list[float]] = field(default_factory=dict)
    dropped: list[Remark] = field(default_factory=list)
    noted: list[Remark] = field(default_factory=list)
    shifts_px: list[float] = field(default_factory=list)
    cropped: int = 0

    def measure(self, examined: _Examined) -> None:
        """Count pairs that are dropped too: where many are resizes, the others may be."""
        if examined.unexplained is not None:
            self.unexplained.setdefault(examined.pair.game, []).append(examined.unexplained)

    def keep(self, examined: _Examined) -> None:
        pair = examined.pair
        key = (pair.game, pair.split)
        self.pairs[key] += 1
        self.pixels[key] += pair.high.shape[0] * pair.high.shape[1]
        self.scenes.setdefault(key, set()).add(pair.scene)
        self.cropped += examined.cropped
        if examined.shift_px is not None:
            self.shifts_px.append(hypot(*examined.shift_px))


def prepare(
    sources: Sequence[Source],
    out: Path,
    *,
    scale: Fraction,
    degradation: Degradation | None,
    advance: Callable[[], object] = lambda: None,
) -> Report:
    """Write a store of the sources that pass, with a contact sheet, into the new folder `out`.

    `sources` are ordered by scene and time; `degradation` makes the low-resolution frames of those
    that have none. `advance` is called after each pair. Whatever goes wrong, or Ctrl-C, leaves
    nothing behind.

    Raises BadImageError, naming the file, when one is unreadable or of the wrong size, or when
    nothing is left to train on, and BadRequestError when `out` exists or cannot be written.
    """
    tally = _Tally()
    sheet = ContactSheet(scale)
    with StoreWriter(out, scale=scale, degradation=degradation or NATIVE) as store:
        previous: FramePair | None = None
        for examined in _examined(sources, scale, degradation):
            pair = examined.pair
            reason = examined.reason
            tally.measure(examined)
            if reason is None and previous is not None and _same_scene(pair, previous):
                reason = frozen(pair.high, previous.high)
            if reason is not None:
                store.drop(pair.name, reason)
                tally.dropped.append(Remark(name=pair.name, reason=reason))
            else:
                store.add(pair)
                sheet.show(pair)
                tally.keep(examined)
                previous = pair
                if examined.note is not None:
                    store.note(pair.name, examined.note)
                    tally.noted.append(Remark(name=pair.name, reason=examined.note))
            advance()
        _require_training(tally, out)
        write_image(store.draft / CONTACT, sheet.draw()[:, :, ::-1])
    return Report(
        groups=_groups(tally),
        dropped=tally.dropped,
        noted=tally.noted,
        warnings=_warnings(tally),
        shifts_px=tally.shifts_px,
        cropped=tally.cropped,
    )


def _examined(
    sources: Sequence[Source], scale: Fraction, degradation: Degradation | None
) -> Iterator[_Examined]:
    """Examine the sources in order, a few of them ahead of the caller."""
    pending: deque[Future[_Examined]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for source in sources:
                pending.append(pool.submit(_examine, source, scale, degradation))
                if len(pending) > THREADS:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _examine(source: Source, scale: Fraction, degradation: Degradation | None) -> _Examined:
    if source.low is None:
        assert degradation is not None  # sources without `low` are listed for a degradation only
        pair, cropped = _degraded(source, scale, degradation)
        return _Examined(pair=pair, cropped=cropped, reason=blank(pair.high))
    files = Pair(
        name=source.name,
        game=source.game,
        scene=source.scene,
        licence=source.licence,
        low=source.low,
        high=source.high,
    )
    pair = load_pair(files, scale=scale, split=source.split)
    reason = blank(pair.high) or blank(pair.low)
    if reason is not None:
        return _Examined(pair=pair, reason=reason)
    alignment = align(pair.low, pair.high)
    if alignment.reason is not None:
        return _Examined(pair=pair, reason=alignment.reason)
    unexplained = unexplained_detail(pair.low, pair.high, scale)
    return _Examined(
        pair=pair,
        reason=resized(unexplained),
        note=alignment.note,
        shift_px=alignment.shift_px,
        unexplained=unexplained,
    )


def _degraded(source: Source, scale: Fraction, degradation: Degradation) -> tuple[FramePair, bool]:
    """Read a high-resolution frame and make the low one; also whether it had to be cropped."""
    whole = read_rgb(source.high)
    try:
        high: Frame = np.ascontiguousarray(fitting(whole, scale))
        low = degrade(high, scale, degradation)
        upscaled_size(Size(low.shape[1], low.shape[0]), scale)  # within the limits?
    except (ValueError, UpscalerError) as error:
        msg = f"{source.high}: {error}"
        raise BadImageError(msg) from error
    pair = FramePair(
        name=source.name,
        game=source.game,
        scene=source.scene,
        licence=source.licence,
        split=source.split,
        low=low,
        high=high,
    )
    return pair, high.shape != whole.shape


def _same_scene(pair: FramePair, other: FramePair) -> bool:
    return (pair.game, pair.scene) == (other.game, other.scene)


def _require_training(tally: _Tally, out: Path) -> None:
    if any(split == TRAIN for _, split in tally.pairs):
        return
    dropped = tally.dropped
    first = f", the first: {dropped[0].name} {dropped[0].reason}" if dropped else ""
    msg = f"nothing is left to train on in {out}; pairs dropped: {len(dropped)}{first}"
    raise BadImageError(msg)


def _groups(tally: _Tally) -> list[Group]:
    order = (TRAIN, VALIDATION, TEST)
    return [
        Group(
            game=game,
            split=split,
            scenes=len(tally.scenes[game, split]),
            pairs=pairs,
            megapixels=tally.pixels[game, split] / 1e6,
        )
        for (game, split), pairs in sorted(
            tally.pairs.items(), key=lambda each: (each[0][0], order.index(each[0][1]))
        )
    ]


def _warnings(tally: _Tally) -> list[str]:
    said = []
    splits = {split for _, split in tally.pairs}
    missing = [split for split in (VALIDATION, TEST) if split not in splits]
    if missing:
        said.append(
            f"nothing is held out for {' or '.join(missing)}: splits are of whole scenes, and a "
            "game needs three of them to fill all"
        )
    for game, values in sorted(tally.unexplained.items()):
        if (middle := median(values)) < RESIZES_LIKELY:
            said.append(
                f"{game}: the low-resolution frames look like resizes of the high ones, compressed "
                f"or sharpened since: {100 * middle:.0f} % of their detail is their own, where "
                "native renders have 40 % and more"
            )
    return said
