"""`upscaler image` and `upscaler video`: the same methods on files, without a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np

from capture.files import open_files
from protocol.errors import BadRequestError
from protocol.frames import PixelFormat, Size, check_size, parse_scale, upscaled_size
from upscaler.catalogue import Catalogue
from upscaler.cli.options import parse_size
from upscaler.console import progress
from upscaler.contract import Frame, Request, Upscaler
from upscaler.engines.library import check_engine_name
from upscaler.engines.npu_options import NpuSettings
from upscaler.engines.reuse import ReusingUpscaler
from upscaler.filters.library import FILTERS, is_filter, make_filter
from upscaler.filters.options import check_sharpness
from upscaler.images import read_image, write_image
from upscaler.live.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class FileJob:
    """What to do with a file: the method, and either an exact scale or a target size."""

    method: str
    scale: Fraction | None
    target: Size | None
    sharpness_stops: float
    engine: str
    models: tuple[str, ...]
    threads: int | None
    reuse: bool = False
    npu: NpuSettings | None = None

    @classmethod
    def parse(
        cls,
        *,
        method: str | None,
        scale: str | None,
        target: str | None,
        sharpness: float,
        engine: str,
        models: Sequence[str],
        threads: int | None,
        reuse: bool = False,
        npu: NpuSettings | None = None,
    ) -> Self:
        """Read the options of the command line; raises BadRequestError where they contradict."""
        if scale is not None and target is not None:
            msg = "--scale and --size exclude each other; give one"
            raise BadRequestError(msg)
        check_sharpness(sharpness)
        check_engine_name(engine)
        if target is not None and not is_filter(method or ""):
            msg = f"--size is for the filters ({', '.join(FILTERS)}); a network needs --scale"
            raise BadRequestError(msg)
        return cls(
            method=method or "",
            scale=None if target is not None else parse_scale(scale or "2"),
            target=None if target is None else Size(*parse_size(target)),
            sharpness_stops=sharpness,
            engine=engine,
            models=tuple(models),
            threads=threads,
            reuse=reuse,
            npu=npu,
        )

    def upscaled(self, size: Size) -> Size:
        """Size of the result for an input of `size`."""
        if self.target is None:
            assert self.scale is not None
            return upscaled_size(size, self.scale)
        check_size(size)
        check_size(self.target, what="result")
        return self.target

    def open(self, size: Size, pixel_format: PixelFormat) -> Upscaler:
        """Make the upscaler for frames of `size`."""
        catalogue = Catalogue(
            engine=self.engine,
            models=self.models,
            threads=self.threads,
            reuse=self.reuse,
            npu=self.npu,
        )
        if self.target is not None:
            return make_filter(
                self.method,
                size,
                self.upscaled(size),
                pixel_format,
                sharpness_stops=self.sharpness_stops,
            )
        assert self.scale is not None
        request = Request(
            method=self.method,
            size=size,
            scale=self.scale,
            pixel_format=pixel_format,
            sharpness_stops=self.sharpness_stops,
        )
        return catalogue.open(request)


def upscale_image(source: Path, target: Path, job: FileJob) -> None:
    """Upscale an image file. Alpha is upscaled beside the colours, by bicubic or nearest."""
    image = read_image(source)
    size = Size(image.shape[1], image.shape[0])
    with _naming(source):
        upscaled = job.upscaled(size)
        upscaler = job.open(size, PixelFormat.BGR8)
    result = np.empty(upscaler.output_shape, np.uint8)
    upscaler(np.ascontiguousarray(image[:, :, :3]), result)
    if image.shape[2] == 4:
        alpha = _upscale_alpha(image[:, :, 3], size, upscaled, nearest=job.method == "nearest")
        result = np.concatenate([result, alpha[:, :, :1]], axis=2)
    write_image(target, result)
    print(f"{target}: {upscaled} by {_describe(upscaler)}")  # noqa: T201


def upscale_video(source: Path, target: Path, job: FileJob) -> None:
    """Upscale a video, or a folder of images, into a video file of the same frame rate.

    What was written stays playable when the run is interrupted.
    """
    if source.exists() and target.exists() and source.samefile(target):
        msg = f"{target} is the input; write to another file"
        raise BadRequestError(msg)
    frames = open_files(source)
    with frames, progress() as bar:
        with _naming(source):
            upscaled = job.upscaled(frames.size)
            upscaler = job.open(frames.size, frames.pixel_format)
        result = np.empty(upscaler.output_shape, np.uint8)
        with Recorder(target, upscaled, frames.pixel_format, frames.fps) as recorder:
            task = bar.add_task(upscaler.name, total=frames.frame_count)
            for frame in frames:
                upscaler(frame.pixels, result)
                recorder.write(result)
                bar.advance(task)
            count = int(bar.tasks[task].completed)
        upscaler.close()
    print(f"{target}: {count} frames of {upscaled} by {_describe(upscaler)}")  # noqa: T201
    if isinstance(upscaler, ReusingUpscaler):
        print(f"reuse: {upscaler.statistics}")  # noqa: T201


def _upscale_alpha(alpha: Frame, size: Size, upscaled: Size, *, nearest: bool) -> Frame:
    # The filters take colours: three equal channels are cheap enough for a file.
    method = "nearest" if nearest else "bicubic"
    resize = make_filter(method, size, upscaled, PixelFormat.RGB8)
    result = np.empty(resize.output_shape, np.uint8)
    resize(np.repeat(alpha[:, :, None], 3, axis=2), result)
    return result


def _describe(upscaler: Upscaler) -> str:
    emulated = ", emulated" if upscaler.emulated else ""
    return f"{upscaler.name} ({upscaler.engine}{emulated})"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before an error about its size."""
    try:
        yield
    except BadRequestError as error:
        msg = f"{path}: {error}"
        raise BadRequestError(msg, code=error.code) from error
