"""Lantern run: a small game in Panda3D that renders at 960x540 and shows 1920x1080.

    python game.py

Arrow keys fly the drone through the lanterns; until the first of them it flies by itself. 1 to 4
choose the method, B changes the mip bias, H hides the words, Escape ends.
"""

from __future__ import annotations

import argparse
import math
import sys

from direct.gui.OnscreenText import OnscreenText
from direct.showbase.ShowBase import ShowBase
from panda3d.core import ClockObject, Filename, TextNode, Vec3, loadPrcFileData
from scene import make_drone, make_lantern, make_yard
from upscaler_panda3d import OFF, UpscalerView

from protocol.errors import BadRequestError
from protocol.frames import parse_scale
from upscaler.client import DEFAULT_ENDPOINT

METHODS = {"1": "quicksrnet-small", "2": "fsr1", "3": "bicubic", "4": OFF}
NATIVE = "native"
REACH, RETURNS_S = 1.3, 6.0
"""How near a lantern must be, in metres, and after how long a taken one is back."""
SETTLE_S = 60.0


class Game(ShowBase):
    """The drone, the lanterns, the HUD; the picture is the view's."""

    def __init__(self, options):
        size = tuple(options.size)
        loadPrcFileData("", f"win-size {size[0]} {size[1]}")
        loadPrcFileData(
            "", "window-title Lantern run\ntextures-power-2 none\naudio-library-name null"
        )
        loadPrcFileData("", "notify-level-display error" if options.frames else "")
        super().__init__()
        self._ticks = ClockObject.getGlobalClock()
        self.disableMouse()
        self.setBackgroundColor(0.75, 0.62, 0.50)
        self.camLens.setFov(62)
        self.camLens.setNearFar(0.1, 900)
        self._lanterns = []
        for point in make_yard(self.render):
            lantern = make_lantern(self.render)
            lantern.setPos(*point)
            self._lanterns.append([lantern, 0.0])
        self._drone, self._rotors = make_drone(self.render)
        self._place, self._heading, self._speed = Vec3(8.5, -7.5, 1.9), 45.0, 5.0
        self._score, self._time, self._steered = 0, 0.0, False
        scale = parse_scale(1 if options.method == NATIVE else options.scale)
        self.view = UpscalerView(
            self,
            size=(int(size[0] / scale), int(size[1] / scale)),
            scale=scale,
            method=OFF if options.method == NATIVE else options.method,
            endpoint=options.endpoint,
            wait_s=SETTLE_S if options.frames else 0.0,
        )
        self._biased = False
        self._change_bias()
        self._paced = not options.frames  # frames that wait for one another have no pace
        self._make_hud(shown=not options.no_hud)
        self.keys = dict.fromkeys(("arrow_left", "arrow_right", "arrow_up", "arrow_down"), False)
        for key in self.keys:
            self.accept(key, self._press, [key, True])
            self.accept(f"{key}-up", self._press, [key, False])
        for key, method in METHODS.items():
            self.accept(key, self.view.set_method, [method])
        self.accept("b", self._change_bias)
        self.accept("h", self._toggle_hud)
        self.accept("escape", self.userExit)
        self.taskMgr.add(self._play, "play")

    def _press(self, key, down):
        self.keys[key], self._steered = down, True

    def _change_bias(self):
        self._biased = not self._biased
        self.view.bias_textures(self.render, self.view.mip_bias if self._biased else 0.0)

    def _toggle_hud(self):
        for words in (self._said, self._points, self._help):
            words.hide() if not words.isHidden() else words.show()

    def _make_hud(self, *, shown):
        style = {"fg": (1, 1, 1, 1), "shadow": (0, 0, 0, 0.8), "mayChange": True}
        self._points = OnscreenText(
            "", parent=self.a2dTopLeft, pos=(0.05, -0.1), scale=0.08, align=TextNode.ALeft, **style
        )
        self._said = OnscreenText(
            "",
            parent=self.a2dTopLeft,
            pos=(0.05, -0.17),
            scale=0.042,
            align=TextNode.ALeft,
            **style,
        )
        self._help = OnscreenText(
            "arrows fly   1 network   2 FSR 1.0   3 bicubic   4 off   B mip bias   H words",
            parent=self.a2dBottomLeft,
            pos=(0.05, 0.05),
            scale=0.042,
            align=TextNode.ALeft,
            **style,
        )
        self._spoke = -1.0
        if not shown:
            self._toggle_hud()

    def _play(self, task):
        step = min(self._ticks.getDt(), 0.1)
        self._time += step
        self._fly(step)
        for entry in self._lanterns:
            lantern, back = entry
            lantern.setH(self._time * 60)
            if lantern.isHidden():
                if self._time > back:
                    lantern.show()
            elif (lantern.getPos() - self._place).length() < REACH:
                self._score += 1
                entry[1] = self._time + RETURNS_S
                lantern.hide()
        if self._time - self._spoke > 0.5 or self._spoke < 0:
            self._spoke = self._time
            self._speak()
        return task.cont

    def _fly(self, step):
        turn = self.keys["arrow_left"] - self.keys["arrow_right"]
        self._speed += 4 * step * (self.keys["arrow_up"] - self.keys["arrow_down"])
        self._speed = min(max(self._speed, 0.0), 14.0)
        if not self._steered:  # round and round, through all of them
            x, y, _ = self._place
            radius = math.hypot(x, y)
            wanted = math.degrees(math.atan2(y, x)) + 3 * (radius - 11)
            turn = max(-1.0, min(1.0, ((wanted - self._heading + 180) % 360 - 180) / 20))
        self._heading += 70 * turn * step
        angle = math.radians(self._heading)
        self._place += Vec3(-math.sin(angle), math.cos(angle), 0) * self._speed * step
        self._place.x, self._place.y = (min(max(at, -20), 20) for at in self._place.xy)
        self._drone.setPos(self._place + Vec3(0, 0, 0.12 * math.sin(2.1 * self._time)))
        self._drone.setHpr(self._heading, -2.2 * self._speed, -18 * turn)
        for rotor in self._rotors:
            rotor.setH(self._time * 900)
        behind = Vec3(-math.sin(angle), math.cos(angle), 0)
        self.cam.setPos(self._place - behind * 3.6 + Vec3(0, 0, 1.25))
        self.cam.lookAt(self._place + behind * 4.0 + Vec3(0, 0, 0.5))

    def _speak(self):
        self._points.setText(f"{self._score} lanterns")
        size, statistics = self.view.size, self.view.statistics
        lines = [f"{size} to {self.view.upscaled}: {self.view.status}"]
        if self._paced:
            lines.append(f"{self._ticks.getAverageFrameRate():.0f} fps")
        if self._paced and statistics is not None and "total" in statistics.stages:
            total = statistics.stages["total"]
            lines[-1] += f", upscaled after {total.p50_ms:.1f} ms (p95 {total.p95_ms:.1f})"
            lines[-1] += f", {statistics.dropped} left out"
        self._said.setText("\n".join(lines))


def run_frames(game, count, screenshot):
    """Play `count` frames of 1/60 s each, and keep the last as it was shown."""
    ticks = ClockObject.getGlobalClock()
    ticks.setMode(ClockObject.MNonRealTime)
    ticks.setDt(1 / 60)
    while not game.view.ready:  # the pictures shall be upscaled ones, all of them
        game.graphicsEngine.renderFrame()
    for _ in range(count):
        game.taskMgr.step()
    game.view.finish()
    game.graphicsEngine.renderFrame()
    game.graphicsEngine.renderFrame()  # the one before is on the screen now
    if screenshot and not game.win.saveScreenshot(Filename.fromOsSpecific(screenshot)):
        sys.exit(f"cannot write {screenshot}; name a .png or .jpg in a folder that exists")
    sys.stdout.write(f"{count} frames; {game.view.status}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, nargs=2, default=(1920, 1080), metavar=("W", "H"))
    parser.add_argument("--scale", default="2", help="1 to 4; networks have 1.5, 2, 3 and 4")
    parser.add_argument("--method", default=METHODS["1"], help=f"or {OFF}, or {NATIVE}")
    parser.add_argument("--endpoint", default=DEFAULT_ENDPOINT)
    parser.add_argument("--frames", type=int, default=0, help="play so many, in lock-step, and end")
    parser.add_argument("--screenshot", help="a file for the last of them")
    parser.add_argument("--no-hud", action="store_true")
    options = parser.parse_args()
    try:
        game = Game(options)
    except (BadRequestError, RuntimeError) as error:
        sys.exit(f"game: {error}")
    try:
        if options.frames:
            run_frames(game, options.frames, options.screenshot)
        else:
            game.run()
    except KeyboardInterrupt:
        pass
    finally:
        game.view.close()


if __name__ == "__main__":
    main()
