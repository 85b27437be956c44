from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from protocol.errors import BadImageError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.live.recorder import CODECS, Recorder

SIZE = Size(64, 36)


def levels(path: Path) -> list[int]:
    """The mean level of every frame of a video."""
    video = cv2.VideoCapture(str(path))
    found = []
    while (read := video.read())[0]:
        found.append(round(float(read[1].mean())))
    video.release()
    return found


def grey(level: int) -> np.ndarray:
    return np.full(SIZE.shape(PixelFormat.BGR8), level, np.uint8)


def test_a_frame_is_written_for_as_long_as_it_was_shown(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"
    with Recorder(path, SIZE, PixelFormat.BGR8, 10) as recorder:
        recorder.show(grey(50), 0.0)
        recorder.show(grey(100), 0.3)  # three frames later
        recorder.show(grey(150), 0.32)  # before the next was due
        recorder.advance(0.5)
        assert recorder.written == 5
    assert levels(path) == pytest.approx([50, 50, 50, 150, 150], abs=2)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"
    with Recorder(path, SIZE, PixelFormat.BGR8, 10) as recorder:
        recorder.show(grey(50), 0.0)
    recorder.close()
    assert len(levels(path)) == 1


@pytest.mark.parametrize("suffix", list(CODECS))
@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_every_format_and_file_type(tmp_path: Path, suffix: str, pixel_format: PixelFormat) -> None:
    path = tmp_path / f"out{suffix}"
    with Recorder(path, SIZE, pixel_format, 25) as recorder:
        for _ in range(3):
            recorder.write(game_frame(SIZE, pixel_format))
    video = cv2.VideoCapture(str(path))
    read, pixels = video.read()
    video.release()
    assert read
    error = np.abs(pixels.astype(int) - game_frame(SIZE, PixelFormat.BGR8)).mean()
    assert error < 12
    assert len(levels(path)) == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.gif", r"out\.gif: cannot write \.gif; use one of \.mp4"),
        ("out", "cannot write a file without a suffix"),
        ("no/out.mp4", "is the folder there and writable"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(BadImageError, match=words):
        Recorder(tmp_path / name, SIZE, PixelFormat.BGR8, 25)
