"""A real browser for tests of the report, and a peer that writes its messages itself.

Needs Chromium or Chrome, its driver and selenium. Without them such tests are skipped, unless
CI_BROWSER=1 says that they must be there. CHROME_BIN names a browser that is not in the path.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from protocol.messages import Bye, Keepalive, decode, encode
from upscaler.client import Client
from upscaler.service.process import ServiceProcess
from upscaler.transport import DealerTransport

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1000, 800
LOCAL = {"file", "data", "blob"}


class RawPeer:
    """A peer that sends what a test likes, and no client would."""

    def __init__(self, endpoint: str) -> None:
        self._socket = DealerTransport(endpoint)

    def ask(self, parts: Sequence[bytes]) -> tuple[Any, str]:
        """Send a message; return the answer and its sentence. Keepalives are none."""
        assert self._socket.send(parts, timeout_s=5)
        while True:
            answer = self._socket.receive(20)
            assert answer is not None
            message = decode(answer[0])
            if not isinstance(message, Keepalive):
                return message, bytes(answer[1]).decode() if len(answer) == 2 else ""

    def close(self) -> None:
        self._socket.send([encode(Bye())], timeout_s=1)
        self._socket.close()


@pytest.fixture
def raw_peer(service: ServiceProcess) -> Iterator[RawPeer]:
    """A peer of the shared service; afterwards that one must still serve others."""
    peer = RawPeer(service.endpoint)
    yield peer
    peer.close()
    with Client(service.endpoint, size=(8, 4), method="nearest") as client:
        assert client.upscale(np.zeros((4, 8, 3), np.uint8)).shape == (8, 16, 3)


class Page:
    """A report in the browser: its first card, unless another is named."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())
        self.wait("document.readyState === 'complete' && document.querySelector('h1').textContent")
        self.run("document.querySelector('#frame-0').scrollIntoView()")
        self.settle()

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def wait(self, condition: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 30, poll_frequency=0.05).until(
            lambda _: self.run(f"return Boolean({condition})"), condition
        )

    def settle(self) -> None:
        """Wait until the first card shows what it wants to show, decoded and drawn."""
        self.wait(
            "[...document.querySelectorAll('#frame-0 .layer img')].every((image) => "
            "image.dataset.wanted && image.complete && image.naturalWidth"
            " && image.dataset.shown === image.dataset.wanted)"
        )
        self.driver.execute_async_script(
            "const done = arguments[0]; Promise.all([...document.querySelectorAll("
            "'#frame-0 .layer img')].map((image) => image.decode())).then("
            "() => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
        )

    def press(self, keys: str, *, shift: bool = False) -> None:
        """Press keys with the first card's divider in focus."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        self.run("document.querySelector('#frame-0 .divider').focus({ preventScroll: true })")
        actions = ActionChains(self.driver)
        if shift:
            actions.key_down(Keys.SHIFT)
        actions.send_keys(keys)
        if shift:
            actions.key_up(Keys.SHIFT)
        actions.perform()
        self.settle()

    def click(self, label: str) -> None:
        """Click a button of the first card."""
        self.run(
            "[...document.querySelectorAll('#frame-0 button')]"
            ".find((button) => button.textContent === arguments[0]).click()",
            label,
        )
        self.settle()

    @property
    def at(self) -> int:
        return int(self.find("#frame-0 .divider").get_attribute("aria-valuenow"))

    def shot(self) -> tuple[np.ndarray, int]:
        """The picture as it is on the screen, (272, 480, 3) BGR, and the column of the divider.

        The page is at 1:1, where the picture stands in the middle of the larger view.
        """
        self.run("document.querySelector('#frame-0 .view').scrollIntoView({ block: 'center' })")
        self.settle()
        box = self.run(
            "const view = document.querySelector('#frame-0 .view').getBoundingClientRect();"
            "const image = document.querySelector('#frame-0 .right img').getBoundingClientRect();"
            "const line = document.querySelector('#frame-0 .divider').getBoundingClientRect();"
            "return [image.left, image.top, line.left + line.width / 2, image.width, image.height]"
        )
        left, top, line, width, height = (round(length) for length in box)
        assert (width, height) == (480, 272)
        encoded = np.frombuffer(self.driver.get_screenshot_as_png(), np.uint8)
        screen = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert screen.shape == (HEIGHT, WIDTH, 3)
        return screen[top : top + height, left : left + width], line - left


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    """Chromium without a window, that cannot resolve any name."""
    missing = []
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        missing.append("selenium (pip install selenium)")
    named = os.environ.get("CHROME_BIN")
    browser = named or next((found for name in BROWSERS if (found := shutil.which(name))), None)
    chromedriver = shutil.which("chromedriver")
    if browser is None:
        missing.append("a browser (apt-get install chromium)")
    if chromedriver is None:
        missing.append("chromedriver (apt-get install chromium-driver)")
    if missing:
        reason = f"the report was opened in no browser; missing: {', '.join(missing)}"
        if os.environ.get("CI_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        "--no-sandbox",  # containers have none to give, and the page is our own
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--force-color-profile=srgb",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        yield started
    finally:
        started.quit()


@pytest.fixture
def page(driver: Any) -> Iterator[Page]:
    """A page; afterwards the console must be empty, and nothing asked of any network."""
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get_log("performance")
    page = Page(driver)
    page.resize(WIDTH, HEIGHT)
    yield page
    assert driver.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert {urlsplit(url).scheme for url in asked} <= LOCAL
    assert {urlsplit(url).path for url in asked if url.startswith("file:")} == {
        urlsplit(driver.current_url).path
    }
