"""A small real program with a window, for tests: python window_program.py TITLE WIDTH HEIGHT.

Reads a command a line from stdin, does it, and says "done" when the X server has: colour R G B,
move X Y, resize W H, hide, show, close.
"""

from __future__ import annotations

import sys
from typing import Any

from Xlib import X, display


def paint(window: Any, colour: int, width: int, height: int) -> None:
    context = window.create_gc(foreground=colour)
    window.fill_rectangle(context, 0, 0, width, height)
    # A corner in the opposite colour, so that a picture cannot be taken for a flat background.
    context.change(foreground=0xFFFFFF ^ colour)
    window.fill_rectangle(context, 0, 0, width // 4, height // 4)
    context.free()


def main() -> None:
    title, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    server = display.Display()
    screen = server.screen()
    window = screen.root.create_window(
        10, 20, width, height, 0, screen.root_depth, background_pixel=screen.black_pixel
    )
    window.set_wm_name(title)
    window.change_attributes(event_mask=X.StructureNotifyMask)
    window.map()
    colour = 0x3060C0
    paint(window, colour, width, height)
    server.sync()
    sys.stdout.write("done\n")
    sys.stdout.flush()
    for line in sys.stdin:
        command, *values = line.split()
        numbers = [int(value) for value in values]
        if command == "colour":
            colour = numbers[0] << 16 | numbers[1] << 8 | numbers[2]
        elif command == "move":
            window.configure(x=numbers[0], y=numbers[1])
        elif command == "resize":
            width, height = numbers
            window.configure(width=width, height=height)
        elif command == "hide":
            window.unmap()
        elif command == "show":
            window.map()
        elif command == "close":
            window.destroy()
        server.sync()
        if command != "close":
            paint(window, colour, width, height)
            server.sync()
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
