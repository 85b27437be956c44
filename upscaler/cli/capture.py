"""`upscaler capture` and `upscaler view`: sources, service, and whoever shows the picture."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import NoReturn

from capture.files import Looped, open_files
from capture.screen import DEFAULT_FPS, open_monitor, open_region, open_titled
from capture.source import Source
from capture.windows import Region
from protocol.errors import BadImageError, BadRequestError, CaptureError, ServiceError
from protocol.frames import parse_scale, upscaled_size
from upscaler.cli.capture_loop import CaptureLoop, Tally
from upscaler.cli.running import Interrupted
from upscaler.client import DEFAULT_ENDPOINT
from upscaler.console import console
from upscaler.control import Control
from upscaler.live.path import LivePath
from upscaler.live.recorder import CODECS, Recorder
from upscaler.live.viewer import NATIVE, Viewer
from upscaler.live.web import ViewerServer
from upscaler.live.window import LiveWindow
from upscaler.service.process import ServiceProcess

WINDOW, BROWSER = "window", "browser"
METHODS = ("quicksrnet-small", "fsr1", "bicubic", "sgsr1")
"""On keys 1 to 4 where no methods were asked for; one that was takes the first place."""
CLIP = Path(__file__).parents[1] / "demo" / "clip" / "frames"
FIND_S = 0.5
"""For the service at the default address to answer; it is on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """The command line. `demo` plays the shipped clip where no source is named."""

    window: str | None
    region: str | None
    monitor: int | None
    file: Path | None
    to: str
    methods: tuple[str, ...]
    scale: str
    fps: float | None
    native: Path | None
    loop: bool
    viewer: int | None
    connect: str | None
    engine: str
    seconds: float | None
    demo: bool = False


def run(options: CaptureOptions) -> None:
    """Show the picture until the source ends, the window is closed, or Ctrl-C.

    Raises UpscalerError for everything that is wrong with the options, the source or the service.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    target = _parse_target(options.to)
    scale = parse_scale(options.scale)
    open_source, said = _choose_source(options)
    tally = Tally()
    try:
        with ExitStack() as stack:
            source = stack.enter_context(_closing(open_source()))
            upscaled_size(source.size, scale)
            natives = _open_natives(options, source, scale, stack)
            endpoint, alive = _find_service(options, stack)
            methods = _methods_on_keys(options, endpoint)
            show = _Showing(
                options,
                target=target,
                scale=scale,
                said=said,
                endpoint=endpoint,
                methods=methods,
                tally=tally,
                alive=alive,
            )
            show.run(source, natives, open_source)
    except KeyboardInterrupt:
        held = f"; {target} is whole" if isinstance(target, Path) else ""
        msg = f"interrupted after {tally.shown} frames{held}"
        raise Interrupted(msg) from None


class _Showing:
    """One run: the same page and tally, however often the source has to be opened again."""

    def __init__(
        self,
        options: CaptureOptions,
        *,
        target: str | Path,
        scale: Fraction,
        said: str,
        endpoint: str,
        methods: list[str],
        tally: Tally,
        alive: Callable[[], None],
    ) -> None:
        self._options = options
        self._target = target
        self._scale = scale
        self._said = said
        self._endpoint = endpoint
        self._methods = methods
        self._tally = tally
        self._alive = alive
        self._ends_s = float("inf")

    def run(
        self, source: Source, natives: Source | None, open_source: Callable[[], Source]
    ) -> None:
        with ExitStack() as stack:
            viewer = self._start_viewer(stack, native=natives is not None)
            while self._show(source, natives, viewer):
                # The window has another size: another session, another picture.
                source = stack.enter_context(_closing(open_source()))

    def _show(self, source: Source, natives: Source | None, viewer: Viewer | None) -> bool:
        """Show one source until it ends; True when it is to be opened again."""
        every = isinstance(self._target, Path) and self._options.fps is None
        every = every and source.frame_count is not None
        with ExitStack() as stack:
            path = stack.enter_context(
                LivePath(
                    self._endpoint,
                    size=source.size,
                    scale=self._scale,
                    pixel_format=source.pixel_format,
                    method=self._methods[0],
                    delivery="every" if every else "latest",
                )
            )
            welcome = path.welcome
            upscaled = welcome.upscaled
            emulated = ", EMULATED" if welcome.emulated else ""
            console.print(
                f"{self._said}: {source.size} to {upscaled} by {welcome.method} "
                f"({welcome.engine}{emulated})",
                soft_wrap=True,
            )
            fps = None if every else self._options.fps or source.fps
            window = recorder = None
            if self._target == WINDOW:
                window = stack.enter_context(
                    LiveWindow(f"{self._said} - upscaler", upscaled, source.pixel_format)
                )
            elif isinstance(self._target, Path):
                recorder = stack.enter_context(
                    Recorder(self._target, upscaled, source.pixel_format, fps or source.fps)
                )
            loop = CaptureLoop(
                source,
                path,
                methods=self._methods,
                fps=fps,
                window=window,
                recorder=recorder,
                viewer=viewer,
                natives=natives,
                until=self._ended,
                say=lambda note: console.print(f"note      {note}", soft_wrap=True),
                tally=self._tally,
            )
            if self._options.seconds is not None:
                self._ends_s = min(self._ends_s, time.perf_counter() + self._options.seconds)
            try:
                resized = loop.run()
            finally:
                self._say_how_it_went(loop, recorder, source)
            if resized is None or loop.quit:
                return False
            if recorder is not None:
                msg = (
                    f"the window is {resized} now, and a video has one size; "
                    f"{recorder.path} holds {recorder.written} frames"
                )
                raise CaptureError(msg)
            return True

    def _ended(self) -> bool:
        self._alive()
        return time.perf_counter() >= self._ends_s

    def _say_how_it_went(
        self, loop: CaptureLoop, recorder: Recorder | None, source: Source
    ) -> None:
        if recorder is not None:
            recorder.close()
            console.print(f"{recorder.path}: {recorder.written} frames", soft_wrap=True)
        for line in self._tally.lines(loop.seconds, loop.missed):
            console.print(line, soft_wrap=True)
        note = loop.slow or source.note
        if note:
            console.print(f"note      {note}", soft_wrap=True)

    def _start_viewer(self, stack: ExitStack, *, native: bool) -> Viewer | None:
        if self._options.viewer is None and self._target != BROWSER:
            return None
        right = self._methods[0]
        left = (
            NATIVE
            if native
            else next((m for m in ("bicubic", *self._methods) if m != right), right)
        )
        viewer = Viewer(
            self._endpoint,
            source=self._said,
            left=left,
            right=right,
            native=native,
            limited=self._target != BROWSER,
        )
        stack.callback(viewer.close)
        server = ViewerServer(viewer, self._options.viewer or 0)
        stack.callback(server.close)
        console.print(f"view      {server.url}", soft_wrap=True)
        return viewer


def _parse_target(text: str) -> str | Path:
    """Return WINDOW, BROWSER, or the file to write."""
    if text in (WINDOW, BROWSER):
        return text
    path = Path(text)
    if path.suffix.lower() not in CODECS:
        msg = f"cannot show it in {text!r}; use window, browser, or a file: {', '.join(CODECS)}"
        raise BadRequestError(msg)
    return path


def _choose_source(options: CaptureOptions) -> tuple[Callable[[], Source], str]:
    """Return what opens the source, and its name in words."""
    named = [
        name
        for name in ("window", "region", "monitor", "file")
        if getattr(options, name) is not None
    ]
    if not named and not options.demo:
        msg = "nothing to capture; give one of --window, --region, --monitor and --file"
        raise BadRequestError(msg)
    if len(named) > 1:
        msg = f"{' and '.join(f'--{name}' for name in named)} exclude each other; give one"
        raise BadRequestError(msg)
    if options.native is not None and options.file is None:
        msg = "--native is for --file: a screen has no native reference"
        raise BadRequestError(msg)
    fps = options.fps or DEFAULT_FPS
    if options.window is not None:
        title = options.window
        return (lambda: open_titled(title, fps=fps)), f"window {title}"
    if options.region is not None:
        region = parse_region(options.region)
        return (lambda: open_region(region, fps=fps)), f"region {region}"
    if options.monitor is not None:
        monitor = options.monitor
        return (lambda: open_monitor(monitor, fps=fps)), f"monitor {monitor}"
    path = options.file or CLIP
    said = f"file {path}" if options.file is not None else "the demo's game clip"
    if options.loop:
        return (lambda: Looped(lambda: open_files(path, fps=fps))), said
    return (lambda: open_files(path, fps=fps)), said


def parse_region(text: str) -> Region:
    """Return the region of "X,Y,W,H"; raises BadRequestError for anything else."""
    parts = text.split(",")
    try:
        left, top, width, height = (int(part) for part in parts if len(part) <= 6)
    except ValueError:
        msg = f"{text[:40]!r} is no region; write it as X,Y,WIDTH,HEIGHT, such as 0,0,960,540"
        raise BadRequestError(msg) from None
    return Region(left=left, top=top, width=width, height=height)


def _open_natives(
    options: CaptureOptions, source: Source, scale: Fraction, stack: ExitStack
) -> Source | None:
    path = options.native
    if path is None or options.file is None:
        return None
    clip = stack.enter_context(_closing(open_files(path)))
    upscaled = upscaled_size(source.size, scale)
    if clip.size != upscaled:
        msg = f"{path} is {clip.size}, but {options.file} at {options.scale}x is {upscaled}"
        raise BadImageError(msg)
    counts = clip.frame_count, open_files(options.file).frame_count
    if None not in counts and counts[0] != counts[1]:
        msg = f"{path} has {counts[0]} frames, but {options.file} has {counts[1]}"
        raise BadImageError(msg)
    return stack.enter_context(_closing(Looped(lambda: open_files(path)))) if options.loop else clip


def _find_service(options: CaptureOptions, stack: ExitStack) -> tuple[str, Callable[[], None]]:
    """Return the endpoint of a service, and what raises ServiceError when ours has ended."""
    endpoint = options.connect or DEFAULT_ENDPOINT
    try:
        with Control(endpoint) as control:
            control.report(timeout_s=FIND_S if options.connect is None else 5.0)
    except ServiceError:
        if options.connect is not None:
            raise
    else:
        console.print(f"service   {endpoint}, running already", soft_wrap=True)
        return endpoint, lambda: None
    service = stack.enter_context(ServiceProcess(["--engine", options.engine]))
    console.print(f"service   {service.endpoint}, started for this", soft_wrap=True)

    def alive() -> None:
        if not service.running:
            last = service.log().strip().rpartition("\n")[2]
            msg = f"the service that was started for this has ended: {last or 'without a word'}"
            raise ServiceError(msg)

    return service.endpoint, alive


def _methods_on_keys(options: CaptureOptions, endpoint: str) -> list[str]:
    """Those asked for; where it is one at most, others that the service has follow."""
    methods = list(options.methods)
    if len(methods) <= 1:
        with Control(endpoint) as control:
            offered = control.report().methods
        methods = list(dict.fromkeys([*methods, *(m for m in METHODS if m in offered)]))[:4]
        methods = methods or offered[:4]
    return methods


@contextmanager
def _closing(source: Source) -> Iterator[Source]:
    try:
        yield source
    finally:
        source.close()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - its signature
    raise KeyboardInterrupt
