"""The live page in a real browser (see conftest.py), fed by `upscaler view` and by a service."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.client import Client
from upscaler.filters.library import make_filter
from upscaler.images import write_image
from upscaler.service.process import ServiceProcess

SIZE, UPSCALED = Size(160, 90), Size(320, 180)
Open = Callable[..., "LivePage"]


class LivePage:
    """The page in the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def wait(self, condition: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 60, poll_frequency=0.05).until(
            lambda _: self.run(f"return Boolean({condition})"), condition
        )

    @property
    def frames(self) -> int:
        return int(self.run("return document.querySelector('#view').dataset.frames || 0"))

    def wait_for_frames(self, more: int = 2) -> None:
        self.wait(f"document.querySelector('#view').dataset.frames >= {self.frames + more}")

    def press(self, keys: str, *, shift: bool = False) -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        self.run("document.querySelector('#divider').focus({ preventScroll: true })")
        actions = ActionChains(self.driver)
        if shift:
            actions.key_down(Keys.SHIFT)
        actions.send_keys(keys)
        if shift:
            actions.key_up(Keys.SHIFT)
        actions.perform()

    def wait_for_methods(self, left: str, right: str, *, exact: bool) -> None:
        self.wait(
            f"[['left', '{left}'], ['right', '{right}']].every(([side, method]) => {{"
            "const shown = document.querySelector(`.layer.${side} canvas`).dataset;"
            f"return shown.method === method && shown.exact === '{str(exact).lower()}'; }})"
        )

    def picture(self, side: str) -> np.ndarray:
        """What is drawn on a side, (height, width, 3) uint8, blue first."""
        width, height, values = self.run(
            "const drawn = document.querySelector(`.layer.${arguments[0]} canvas`);"
            "const canvas = new OffscreenCanvas(drawn.width, drawn.height);"
            "const pen = canvas.getContext('2d', { willReadFrequently: true });"
            "pen.drawImage(drawn, 0, 0);"
            "const data = pen.getImageData(0, 0, canvas.width, canvas.height);"
            "let text = ''; for (const each of data.data) text += String.fromCharCode(each);"
            "return [canvas.width, canvas.height, btoa(text)]",
            side,
        )
        rgba = np.frombuffer(base64.b64decode(values), np.uint8).reshape(height, width, 4)
        return rgba[:, :, 2::-1]

    @property
    def at(self) -> int:
        return int(self.find("#divider").get_attribute("aria-valuenow"))


@pytest.fixture
def open_page(driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open the page of a process; at the end its console must be empty, and it must have asked
    nothing of anybody but that process."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get_log("performance")
    metrics = {"width": 1000, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    quiet = []
    homes = set()

    def show(url: str, *, console_stays_empty: bool = True) -> LivePage:
        quiet.append(console_stays_empty)
        homes.add(urlsplit(url).netloc)
        driver.get(url)
        page = LivePage(driver)
        page.wait_for_frames(1)
        return page

    yield show
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {
        urlsplit(message["params"]["request"]["url"]).netloc
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    assert asked - {"", "blank"} <= homes
    if all(quiet):
        assert driver.get_log("browser") == []
    driver.get("about:blank")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six frames that move, and their native renders: here, what bilinear makes of them."""
    folder = tmp_path_factory.mktemp("clip")
    low, high = folder / "low", folder / "high"
    low.mkdir()
    high.mkdir()
    frame = game_frame(SIZE, PixelFormat.BGR8)
    for index in range(6):
        moved = np.roll(frame, 8 * index, axis=1)
        write_image(low / f"{index}.png", moved)
        write_image(high / f"{index}.png", upscaled(moved, "bilinear"))
    return low, high


def upscaled(frame: np.ndarray, method: str) -> np.ndarray:
    result = np.empty((UPSCALED.height, UPSCALED.width, 3), np.uint8)
    make_filter(method, SIZE, UPSCALED, PixelFormat.BGR8)(np.ascontiguousarray(frame), result)
    return result


@pytest.fixture(scope="module")
def viewing(clip: tuple[Path, Path], service: ServiceProcess) -> Iterator[str]:
    """`upscaler view` of the clip; its address."""
    low, high = clip
    environment = os.environ | {"XDG_STATE_HOME": str(low.parent / "state")}
    command = [sys.executable, "-m", "upscaler", "view", "--file", str(low), "--native", str(high)]
    options = ["--method", "nearest", "--port", "0", "--connect", service.endpoint, "--fps", "60"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        url = ""
        for line in process.stdout:
            if line.startswith("view"):
                url = line.split()[1]
                break
        yield url
        process.kill()


@pytest.fixture
def view(viewing: str, open_page: Open) -> LivePage:
    """The page of `upscaler view`, native on the left and nearest on the right."""
    page = open_page(viewing)
    page.wait("document.querySelectorAll('#left option').length > 3")
    page.run("choose(0, 'native'); choose(1, 'nearest')")
    page.wait_for_methods("native", "nearest", exact=False)
    return page


def test_the_wipe_and_the_methods(view: LivePage, clip: tuple[Path, Path]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import Select

    page = view
    page.wait_for_methods("native", "nearest", exact=False)
    page.wait("document.querySelector('#source').textContent.includes('160x90 to 320x180')")
    page.press(" ")
    page.wait_for_methods("native", "nearest", exact=True)
    # Both sides show the same frame of the clip, and each what its method makes of it.
    lows = [cv2.imread(str(path)) for path in sorted(clip[0].iterdir())]
    right = page.picture("right")
    shown = [index for index, low in enumerate(lows) if np.array_equal(right[::2, ::2], low)]
    assert len(shown) == 1
    low = lows[shown[0]]
    assert np.array_equal(page.picture("left"), upscaled(low, "bilinear"))
    Select(page.find("#right")).select_by_value("fsr1")
    page.wait_for_methods("native", "fsr1", exact=True)
    assert np.array_equal(page.picture("right"), upscaled(low, "fsr1"))
    Select(page.find("#left")).select_by_value("bicubic")
    page.wait_for_methods("bicubic", "fsr1", exact=True)
    assert np.array_equal(page.picture("left"), upscaled(low, "bicubic"))
    # The slider decides what is seen of which.
    assert page.at == 50
    divider = page.find("#divider")
    ActionChains(page.driver).drag_and_drop_by_offset(divider, -200, 0).perform()
    assert page.at < 40
    screen = cv2.imdecode(
        np.frombuffer(page.driver.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR
    )
    left, top, width, height = page.run(
        "const box = document.querySelector('#view').getBoundingClientRect();"
        "return [box.left, box.top, box.width, box.height].map(Math.round)"
    )
    seen = cv2.resize(screen[top : top + height, left : left + width], (320, 180))
    line = 320 * page.at // 100
    for columns, here, there in (
        (slice(0, line - 12), "bicubic", "fsr1"),
        (slice(line + 12, 320), "fsr1", "bicubic"),
    ):
        far = [
            np.abs(
                seen[60:170, columns].astype(int) - upscaled(low, method)[60:170, columns]
            ).mean()
            for method in (here, there)
        ]
        assert far[0] < far[1]


def test_the_keyboard_alone_will_do(view: LivePage) -> None:
    from selenium.webdriver.common.keys import Keys

    page = view
    page.press(Keys.ARROW_RIGHT * 3)
    page.press(Keys.ARROW_LEFT, shift=True)
    assert page.at == 43
    methods = page.run("return [...document.querySelectorAll('#left option')].map((o) => o.value)")
    page.press("2")
    page.press("1", shift=True)
    page.press(" ")
    page.wait_for_methods(methods[1], methods[0], exact=True)
    assert page.find("#pause").get_attribute("aria-pressed") == "true"
    before = page.run("return document.querySelector('#view').dataset.time")
    page.press("n")
    page.wait_for_methods("native", methods[0], exact=True)
    page.press(".")
    page.wait(f"document.querySelector('#view').dataset.time !== '{before}'")
    stepped = page.frames
    page.press("z")
    page.wait("document.querySelector('#view').classList.contains('zoomed')")
    size = page.run(
        "const box = document.querySelector('.layer.left canvas').getBoundingClientRect();"
        "return [box.width, box.height]"
    )
    assert size == [320, 180]
    page.press("zz")
    assert not page.run("return document.querySelector('#view').classList.contains('zoomed')")
    assert page.frames <= stepped + 1  # it stays paused
    page.press(" ")
    page.wait_for_frames()


def test_the_chart_gets_data_and_the_facts_are_told(view: LivePage) -> None:
    page = view
    page.wait("document.querySelector('#chart').dataset.points > 10")
    page.wait("document.querySelectorAll('#latency tbody tr').length >= 5")
    # The service is asked beside the frames, and may answer after the first of them.
    for told, words in ((".counts", "nearest (opencv), shm"), (".service", "quicksrnet-small-x2")):
        page.wait(f"document.querySelector('{told}').innerText.includes('{words}')")
    rows = dict(
        line.rsplit(maxsplit=3)[:2] for line in page.text("#latency tbody").splitlines() if line
    )
    assert {"sent", "upscaled", "arrived", "total"} <= set(rows)
    assert float(rows["total"]) > float(rows["upscaled"]) > 0
    assert "Dropped" in page.text(".counts")
    assert "Deadlines missed" in page.text(".counts")
    ink = page.run(
        "const canvas = document.querySelector('#chart');"
        "const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
        "return new Set(new Uint32Array(data.buffer)).size"
    )
    assert ink > 5


def test_a_picture_is_saved_as_it_is(view: LivePage, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    page = view
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    page.press(" ")
    page.wait_for_methods("native", "nearest", exact=True)
    page.find("#save").click()
    saved = folder / "nearest.png"
    while not saved.exists():
        assert page.run("return true")
    assert np.array_equal(cv2.imread(str(saved)), page.picture("right"))


@pytest.mark.parametrize("width", [400, 1000])
def test_it_fits_and_is_dark_where_that_is_wanted(view: LivePage, width: int) -> None:
    page = view
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert page.run("return document.documentElement.scrollWidth") <= width
    brightness = []
    for scheme in ("light", "dark"):
        page.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        colours = page.run("return getComputedStyle(document.body).backgroundColor")
        brightness.append(int(colours.partition("(")[2].partition(",")[0]))
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert brightness[0] > 200
    assert brightness[1] < 60


def test_a_second_page_takes_over_and_can_be_taken_over(
    view: LivePage, viewing: str, open_page: Open
) -> None:
    page = view
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    second = open_page(viewing)
    second.wait_for_frames()
    page.driver.switch_to.window(first)
    page.wait("document.querySelector('#status button')")
    assert "Another page was opened" in page.text("#status")
    page.find("#status button").click()
    page.wait_for_frames()
    for handle in page.driver.window_handles:
        if handle != first:
            page.driver.switch_to.window(handle)
            page.driver.close()
    page.driver.switch_to.window(first)


def test_clients_of_a_service_are_watched_and_a_restart_is_survived(
    open_page: Open, tmp_path: Path
) -> None:
    bind = f"ipc://{tmp_path}/upscaler"
    arguments = ["--method", "nearest", "--method", "bicubic", "--viewer"]
    frame = game_frame(SIZE, PixelFormat.RGBA8)

    @contextmanager
    def playing() -> Iterator[None]:
        """A game that sends frames all the time."""
        ended = threading.Event()

        def play() -> None:
            with Client(bind, size=(160, 90), pixel_format="rgba8", method="nearest") as client:
                while not ended.is_set():
                    client.upscale(frame)

        player = threading.Thread(target=play)
        player.start()
        try:
            yield
        finally:
            ended.set()
            player.join()

    with ServiceProcess([*arguments, "0"], bind=bind) as service:
        url = next(line.split()[1] for line in service.banner if line.startswith("view"))
        port = str(urlsplit(url).port)
        with playing():
            page = open_page(url, console_stays_empty=False)
            page.wait_for_methods("bicubic", "nearest", exact=False)
            page.press(" ")
            page.wait_for_methods("bicubic", "nearest", exact=True)
            wanted = game_frame(SIZE, PixelFormat.BGR8)
            assert np.array_equal(page.picture("right")[::2, ::2], wanted)
            page.wait("document.querySelector('.counts').textContent.includes('nearest')")
    page.wait("document.querySelector('#status').textContent.includes('connection is lost')")
    with ServiceProcess([*arguments, port], bind=bind):
        page.wait("!document.querySelector('#status').classList.contains('trouble')")
        with playing():
            page.wait_for_frames()
