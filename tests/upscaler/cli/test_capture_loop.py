"""The loop from a moving pattern through a real service to a recording."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from capture.synthetic import MovingPattern
from protocol.frames import Size
from upscaler.cli.capture_loop import CaptureLoop, Tally
from upscaler.live.path import LivePath
from upscaler.live.recorder import Recorder
from upscaler.service.process import ServiceProcess

SIZE = Size(64, 36)


def frames_of(path: Path) -> list[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    video.release()
    return frames


def run_pattern(
    service: ServiceProcess, path: Path, source: MovingPattern, *, fps: float | None
) -> tuple[CaptureLoop, Recorder]:
    with (
        source,
        LivePath(
            service.endpoint,
            size=SIZE,
            scale=Fraction(2),
            pixel_format=source.pixel_format,
            method="nearest",
            delivery="latest" if fps else "every",
        ) as way,
        Recorder(path, Size(128, 72), source.pixel_format, fps or 30) as recorder,
    ):
        loop = CaptureLoop(source, way, methods=["nearest"], fps=fps, recorder=recorder)
        assert loop.run() is None
    return loop, recorder


def test_without_a_rate_every_frame_is_written_once(
    service: ServiceProcess, tmp_path: Path
) -> None:
    source = MovingPattern(SIZE, frame_count=12, repeats=3)
    loop, recorder = run_pattern(service, tmp_path / "out.avi", source, fps=None)
    assert (loop.tally.captured, loop.tally.repeated, recorder.written) == (12, 8, 12)
    frames = frames_of(tmp_path / "out.avi")
    for index, frame in enumerate(frames):
        wanted = source.picture(index)
        assert np.abs(frame[::2, ::2].astype(int) - wanted).mean() < 14
    assert len(frames) == 12
    assert loop.slow == ""


def test_at_a_rate_repeated_frames_are_not_upscaled_again(
    service: ServiceProcess, tmp_path: Path
) -> None:
    source = MovingPattern(SIZE, frame_count=20, repeats=5)
    loop, recorder = run_pattern(service, tmp_path / "out.avi", source, fps=50)
    assert (loop.tally.captured, loop.tally.repeated) == (20, 16)
    assert loop.tally.shown <= 4
    assert recorder.written >= 1


def test_what_a_user_should_know_is_said_once(service: ServiceProcess, tmp_path: Path) -> None:
    source = MovingPattern(SIZE, frame_count=40)
    source._note = "the window is minimised or hidden"
    said: list[str] = []
    with (
        LivePath(
            service.endpoint,
            size=SIZE,
            scale=Fraction(2),
            pixel_format=source.pixel_format,
            method="nearest",
        ) as way,
        Recorder(tmp_path / "out.avi", Size(128, 72), source.pixel_format, 50) as recorder,
    ):
        loop = CaptureLoop(
            source, way, methods=["nearest"], fps=50, recorder=recorder, say=said.append
        )
        loop.run()
    assert said == [source.note]


def test_a_tally_sums_up() -> None:
    tally = Tally(captured=10, repeated=2, shown=6)
    tally.latency_ms.extend([10, 20, 30])
    said = "\n".join(tally.lines(2.0, 1))
    assert "captured  10 frames in 2.0 s" in said
    assert "2 repeated, 1 due and not taken" in said
    assert "3.0 a second" in said
    assert "latency   mean 20.00 ms, p50 20.00" in said
    assert tally.fps == 0
    tally.shown_s.extend([1.0, 1.5, 2.0])
    assert tally.fps == pytest.approx(2)
