"""`upscaler compare`: reads the options and shows what came out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

from capture.files import open_files
from protocol.errors import BadImageError, BadRequestError
from protocol.frames import parse_scale
from upscaler.catalogue import Catalogue
from upscaler.cli.running import Interrupted
from upscaler.compare.inputs import Shot, Shots, Video, find_shots, video_shots
from upscaler.compare.measure import Plan
from upscaler.compare.methods import contestants
from upscaler.compare.results import MEASURES, Comparison
from upscaler.compare.run import REPORT, compare
from upscaler.console import console, progress, table
from upscaler.contract import Frame
from upscaler.images import IMAGE_SUFFIXES

EXIT_INCOMPLETE = 1
WORDS = {"psnr_db": "PSNR dB", "ssim": "SSIM", "flip": "FLIP", "flicker": "flicker"}
DIGITS = {"psnr_db": 3, "ssim": 4, "flip": 4, "flicker": 3}


def run(
    sources: Sequence[Path],
    *,
    natives: Sequence[Path],
    out: Path,
    methods: Sequence[str],
    engines: Sequence[str],
    scale: str,
    split: str,
    sequence: bool,
    pictures: int,
    flip: bool,
    keep_going: bool,
    threads: int | None,
) -> int:
    """Compare, print the table, and return the exit code: 1 when frames were left out."""
    if natives and len(natives) != len(sources):
        msg = (
            f"--native was given {len(natives)} times for {len(sources)} inputs; give one for each"
        )
        raise BadRequestError(msg)
    ratio = parse_scale(scale)
    references: Sequence[Path | None] = natives or [None] * len(sources)
    found = [
        _shots(source, native, ratio, split=split, sequence=sequence, lonely=keep_going)
        for source, native in zip(sources, references, strict=True)
    ]
    chosen = contestants(
        methods or [*Catalogue().methods[:1], "fsr1", "bicubic"], engines=engines, threads=threads
    )
    plan = Plan(
        contestants=chosen,
        scale=ratio,
        out=out,
        pictures=pictures,
        flip=flip,
        keep_going=keep_going,
    )
    counts = [shots.count for shots in found]
    total = None if None in counts else sum(count or 0 for count in counts)
    try:
        with progress() as bar:
            task = bar.add_task("frames", total=total)
            comparison = compare(
                _named_apart(sources, found),
                plan,
                threads=threads,
                done=lambda: bar.advance(task),
                say=lambda what: bar.update(task, description=what),
            )
    except KeyboardInterrupt:
        written = out / REPORT
        if not written.is_file():
            raise
        msg = f"interrupted; {written} has the frames until then"
        raise Interrupted(msg) from None
    finally:
        for each in chosen:
            each.close()
    _print(comparison)
    console.print(f"{out / REPORT}")
    for failure in comparison.failures:
        print(f"upscaler: left out {failure.name}: {failure.reason}", file=sys.stderr)  # noqa: T201
    return EXIT_INCOMPLETE if comparison.failures else 0


def _shots(
    source: Path,
    native: Path | None,
    scale: Fraction,
    *,
    split: str,
    sequence: bool,
    lonely: bool,
) -> Shots:
    for path in (source, native):
        if path is not None and not path.exists():
            msg = f"{path} is missing"
            raise BadImageError(msg)
    if _is_video(source):
        if native is not None and not _is_video(native):
            msg = f"{source} is a video, and so must {native} be"
            raise BadImageError(msg)
        return video_shots(_video(source), None if native is None else _video(native))
    return find_shots(source, native, scale=scale, split=split, sequence=sequence, lonely=lonely)


def _is_video(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES


def _video(path: Path) -> Video:
    opened = open_files(path)

    def frames() -> Iterator[Frame]:
        with opened:
            for frame in opened:
                yield frame.pixels

    return Video(path=path, count=opened.frame_count, frames=frames())


def _named_apart(sources: Sequence[Path], found: Sequence[Shots]) -> Iterator[Shot]:
    """All shots; those of several inputs carry the input's name, so that no two are alike."""
    if len(found) == 1:
        return found[0].frames
    return chain.from_iterable(
        (replace(shot, name=f"{number}-{source.name}/{shot.name}") for shot in shots.frames)
        for number, (source, shots) in enumerate(zip(sources, found, strict=True), 1)
    )


def _print(comparison: Comparison) -> None:
    measured = [
        each for each in MEASURES if any(each in method.overall for method in comparison.methods)
    ]
    frames = len(comparison.frames)
    shown = table(
        f"{frames} frame{'s' if frames > 1 else ''} at {comparison.scale}, {comparison.machine}",
        "method",
        "engine",
        *(WORDS[each] for each in measured),
        "p50 ms",
        "p95 ms",
    )
    for method in comparison.methods:
        figures = [
            "-" if each not in method.overall else f"{method.overall[each].mean:.{DIGITS[each]}f}"
            for each in measured
        ]
        times = ["-", "-"]
        if method.latency is not None:
            times = [f"{method.latency.p50_ms:.2f}", f"{method.latency.p95_ms:.2f}"]
        engine = f"{method.engine}, emulated" if method.emulated else method.engine
        shown.add_row(method.key, engine, *figures, *times)
    console.print(shown)
