from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from capture.files import DEFAULT_FPS, Looped, open_files
from protocol.errors import BadImageError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame


def test_a_folder_plays_its_images_by_name(tmp_path: Path, frame: Frame) -> None:
    for index in (2, 0, 1):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.roll(frame, index, axis=0))
    (tmp_path / "notes.txt").write_text("no image")
    with open_files(tmp_path, fps=10) as source:
        assert (source.size, source.frame_count, source.fps) == (Size(64, 36), 3, 10)
        assert source.pixel_format is PixelFormat.BGR8
        frames = list(source)
    assert [each.time_s for each in frames] == [0, 0.1, 0.2]
    for index, each in enumerate(frames):
        assert np.array_equal(each.pixels, np.roll(frame, index, axis=0))


def test_a_video_plays_its_frames(tmp_path: Path, frame: Frame) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 36))
    for index in range(4):
        writer.write(np.roll(frame, 8 * index, axis=1))
    writer.release()
    with open_files(path) as source:
        assert (source.size, source.frame_count, source.fps) == (Size(64, 36), 4, 25)
        frames = list(source)
        source.close()
    assert len(frames) == 4
    error = np.abs(frames[0].pixels.astype(int) - frame)
    assert error.mean() < 8


@pytest.mark.parametrize("name", ["empty.mp4", "text.avi"])
def test_no_video_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"" if name.startswith("empty") else b"text" * 100)
    with pytest.raises(BadImageError, match=f"{name} is not a video"):
        open_files(path)


def test_bad_folders_are_named(tmp_path: Path, frame: Frame) -> None:
    with pytest.raises(BadImageError, match="holds no image"):
        open_files(tmp_path)
    with pytest.raises(BadImageError, match=r"nothing\.mp4 is missing"):
        open_files(tmp_path / "nothing.mp4")
    cv2.imwrite(str(tmp_path / "0.png"), frame)
    cv2.imwrite(str(tmp_path / "1.png"), frame[:20])
    (tmp_path / "2.png").write_text("no image")
    source = open_files(tmp_path)
    assert source.fps == DEFAULT_FPS
    frames = iter(source)
    next(frames)
    with pytest.raises(BadImageError, match=r"1\.png is 64x20, but the folder began with 64x36"):
        next(frames)
    (tmp_path / "1.png").unlink()
    with pytest.raises(BadImageError, match=r"2\.png is not an image"):
        list(open_files(tmp_path))


def test_frames_are_written_into_the_callers_memory_once(tmp_path: Path, frame: Frame) -> None:
    for index, shift in enumerate((0, 0, 5)):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.roll(frame, shift, axis=0))
    memory: list[Frame] = []

    def target() -> Frame:
        memory.append(np.empty(frame.shape, np.uint8))
        return memory[-1]

    with open_files(tmp_path) as source:
        frames = list(source.frames(target))
    assert [each.repeated for each in frames] == [False, True, False]
    assert [each.pixels is kept for each, kept in zip(frames[::2], memory, strict=True)] == [
        True,
        True,
    ]
    assert np.array_equal(memory[1], np.roll(frame, 5, axis=0))


def test_a_clip_is_played_again_and_again_with_times_that_go_on(
    tmp_path: Path, frame: Frame
) -> None:
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.roll(frame, index, axis=0))
    with Looped(lambda: open_files(tmp_path, fps=10)) as source:
        assert (source.size, source.frame_count, source.fps) == (Size(64, 36), None, 10)
        frames = list(islice(source, 5))
    assert [each.time_s for each in frames] == [0, 0.1, 0.2, 0.3, 0.4]
    for index, each in enumerate(frames):
        assert np.array_equal(each.pixels, np.roll(frame, index % 2, axis=0))


def test_an_image_is_a_clip_of_one_frame(tmp_path: Path, frame: Frame) -> None:
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    with open_files(tmp_path / "frame.png") as source:
        assert source.frame_count == 1
        assert np.array_equal(next(iter(source)).pixels, frame)
