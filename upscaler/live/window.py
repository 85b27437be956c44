"""The window with the upscaled picture, by pygame (SDL)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from protocol.errors import CaptureError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame

LAYOUTS = {
    PixelFormat.RGB8: "RGB",
    PixelFormat.BGR8: "BGR",
    PixelFormat.RGBA8: "RGBA",
    PixelFormat.BGRA8: "BGRA",
}
UNSEEN = ("offscreen", "dummy")
"""Where SDL draws when it can reach no display: into memory."""
INK, SHADE = (235, 237, 240), (12, 14, 18, 190)
MARGIN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What was asked for since the last look: the window closed, or the number of a method."""

    quit: bool = False
    method: int | None = None


class LiveWindow:
    """A window that shows frames of one format; of any size, they are fitted into it.

    F is full screen, H shows and hides the words, Escape and Q end, 1 to 9 choose a method.
    """

    def __init__(self, title: str, size: Size, pixel_format: PixelFormat) -> None:
        """Open the window for pictures of `size`; raises CaptureError where there is no display."""
        displays = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
        if sys.platform == "linux" and not any(os.environ.get(name) for name in displays):
            # SDL would draw into memory, and nobody see it.
            msg = "there is no display to open a window on; use --to browser, or a file"
            raise CaptureError(msg)
        # A banner on stdout otherwise.
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import pygame
        except ImportError as error:
            msg = "a window needs pygame: pip install 'upscaler[capture]'; or use --to browser"
            raise CaptureError(msg) from error
        self._pygame = pygame
        self._layout = LAYOUTS[pixel_format]
        self._last: Any = None
        self._words: list[str] = []
        self.words_shown = True
        self.full_screen = False
        try:
            pygame.display.init()
            if pygame.display.get_driver() in UNSEEN and "SDL_VIDEODRIVER" not in os.environ:
                pygame.display.quit()
                name = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY", "")
                msg = f"cannot open a window on the display {name}; use --to browser, or a file"
                raise CaptureError(msg)
            pygame.font.init()
            pygame.display.set_caption(title)
            self._windowed = _fitting(pygame, size)
            self._screen = pygame.display.set_mode(self._windowed, pygame.RESIZABLE)
        except pygame.error as error:
            msg = f"cannot open a window: {error}; use --to browser, or a file"
            raise CaptureError(msg) from error
        self._font = pygame.font.Font(None, 22)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def size(self) -> Size:
        """Size of the window's contents now."""
        return Size(*self._screen.get_size())

    def show(self, pixels: Frame) -> None:
        """Show a frame, (height, width, channels) uint8; it is not used after the call."""
        pygame = self._pygame
        height, width = pixels.shape[:2]
        picture = pygame.image.frombuffer(pixels, (width, height), self._layout)
        if picture.get_alpha() is not None:
            picture.set_alpha(None)  # what a screen has there is no opacity
        room = self.size
        share = min(room.width / width, room.height / height)
        fitted = (max(1, round(width * share)), max(1, round(height * share)))
        if fitted != (width, height):
            picture = pygame.transform.smoothscale(_plain(picture), fitted)
        corner = ((room.width - fitted[0]) // 2, (room.height - fitted[1]) // 2)
        if fitted != (room.width, room.height):
            self._screen.fill((0, 0, 0))
        self._screen.blit(picture, corner)
        self._draw_words()
        pygame.display.flip()

    def say(self, words: Sequence[str]) -> None:
        """Set the lines in the corner, drawn with the next frame."""
        self._words = list(words)

    def keys(self) -> Keys:
        """Handle what the user did since the last look."""
        pygame = self._pygame
        ended, method = False, None
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                ended = True
            elif event.type == pygame.KEYDOWN:
                if event.key in (pygame.K_ESCAPE, pygame.K_q):
                    ended = True
                elif event.key == pygame.K_f:
                    self._toggle_full_screen()
                elif event.key == pygame.K_h:
                    self.words_shown = not self.words_shown
                elif pygame.K_1 <= event.key <= pygame.K_9:
                    method = event.key - pygame.K_1
        return Keys(quit=ended, method=method)

    def close(self) -> None:
        """Close the window. Idempotent."""
        self._pygame.display.quit()

    def _toggle_full_screen(self) -> None:
        pygame = self._pygame
        if self.full_screen:
            self._screen = pygame.display.set_mode(self._windowed, pygame.RESIZABLE)
        else:
            self._windowed = self._screen.get_size()
            self._screen = pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        self.full_screen = not self.full_screen

    def _draw_words(self) -> None:
        if not (self.words_shown and self._words):
            return
        pygame = self._pygame
        lines = [self._font.render(line, True, INK) for line in self._words]  # noqa: FBT003
        width = max(line.get_width() for line in lines) + 2 * MARGIN
        height = sum(line.get_height() for line in lines) + 2 * MARGIN
        box = pygame.Surface((width, height), pygame.SRCALPHA)
        box.fill(SHADE)
        y = MARGIN
        for line in lines:
            box.blit(line, (MARGIN, y))
            y += line.get_height()
        self._screen.blit(box, (MARGIN, MARGIN))


def _plain(picture: Any) -> Any:
    """The picture without alpha, which scaling would mix into the colours."""
    return picture.convert() if picture.get_bitsize() == 32 else picture


def _fitting(pygame: Any, size: Size) -> tuple[int, int]:
    """The picture's own size, or less where the desktop is smaller."""
    desktops = pygame.display.get_desktop_sizes()
    width, height = desktops[0] if desktops else (size.width, size.height)
    share = min(1.0, width / size.width, height / size.height)
    return max(1, int(size.width * share)), max(1, int(size.height * share))
