"""Frames from a video file or from a folder of images, through OpenCV; always bgr8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from capture.source import BaseSource, CapturedFrame, Pixels, Target, delivered
from protocol.errors import BadImageError
from protocol.frames import PixelFormat, Size, check_size

IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
DEFAULT_FPS = 30.0


def open_files(path: Path, *, fps: float = DEFAULT_FPS) -> VideoFile | ImageFolder:
    """Open a video file, or a folder of images to be played at `fps` in the order of names.

    An image is a folder of one.

    Raises BadImageError, naming the path, when it is missing or cannot be read.
    """
    if path.is_dir() or (path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES):
        return ImageFolder(path, fps=fps)
    return VideoFile(path)


class VideoFile(BaseSource):
    """A video file, decoded frame by frame."""

    pixel_format = PixelFormat.BGR8

    def __init__(self, path: Path) -> None:
        import cv2

        if not path.is_file():
            msg = f"{path} is missing"
            raise BadImageError(msg)
        self._path = path
        self._video = cv2.VideoCapture(str(path))
        self.size = Size(
            int(self._video.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._video.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        if not self._video.isOpened() or self.size.width < 1 or self.size.height < 1:
            self._video.release()
            msg = f"{path} is not a video that OpenCV can read"
            raise BadImageError(msg)
        check_size(self.size, what=f"video ({path})")
        fps = float(self._video.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps < 1000 else DEFAULT_FPS
        count = int(self._video.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = count if count > 0 else None

    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:
        """Yield what is left of the video; see `Source.frames`."""
        index = 0
        previous: Pixels | None = None
        while True:
            read, pixels = self._video.read()
            if not read:
                break
            yield delivered(pixels, previous, index / self.fps, target)
            previous = pixels
            index += 1
        if index == 0:
            msg = f"{self._path} holds no frame that OpenCV can decode"
            raise BadImageError(msg)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._video.release()


class ImageFolder(BaseSource):
    """The images of a folder, in the order of their names; all must have one size."""

    pixel_format = PixelFormat.BGR8

    def __init__(self, path: Path, *, fps: float) -> None:
        try:
            inside = path.iterdir() if path.is_dir() else [path]
            self._files = sorted(each for each in inside if each.suffix.lower() in IMAGE_SUFFIXES)
        except OSError as error:
            msg = f"cannot read {path}: {error.strerror}"
            raise BadImageError(msg) from error
        if not self._files:
            msg = f"{path} holds no image ({', '.join(IMAGE_SUFFIXES)})"
            raise BadImageError(msg)
        self.fps = fps
        self.frame_count = len(self._files)
        height, width = _read(self._files[0]).shape[:2]
        self.size = Size(width, height)

    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:
        """Yield the images; see `Source.frames`."""
        previous: Pixels | None = None
        for index, path in enumerate(self._files):
            pixels = _read(path)
            size = Size(pixels.shape[1], pixels.shape[0])
            if size != self.size:
                msg = f"{path} is {size}, but the folder began with {self.size}"
                raise BadImageError(msg)
            yield delivered(pixels, previous, index / self.fps, target)
            previous = pixels


class Looped(BaseSource):
    """A clip that begins again when it is over. `open_clip` opens it."""

    frame_count = None

    def __init__(self, open_clip: Callable[[], VideoFile | ImageFolder]) -> None:
        self._open_clip = open_clip
        self._clip = open_clip()
        self.size = self._clip.size
        self.fps = self._clip.fps
        self.pixel_format = self._clip.pixel_format

    def frames(self, target: Target | None = None) -> Iterator[CapturedFrame]:
        """Yield the clip's frames again and again, with times that go on; see `Source.frames`."""
        index = 0
        while True:
            for frame in self._clip.frames(target):
                yield replace(frame, time_s=index / self.fps)
                index += 1
            self._clip.close()
            self._clip = self._open_clip()

    def close(self) -> None:
        """Close the clip. Idempotent."""
        self._clip.close()


def _read(path: Path) -> Pixels:
    import cv2

    try:
        decoded: Pixels | None = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # such as more pixels than it accepts
        decoded = None
    if decoded is None:
        msg = f"{path} is not an image that OpenCV can read"
        raise BadImageError(msg)
    return decoded
