"""The report in a real browser: what it shows, and that the wipe wipes.

Needs Chromium or Chrome, its driver and selenium. Without them the tests are skipped, unless
CI_BROWSER=1 says that they must be there.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import msgspec
import numpy as np
import pytest

from upscaler.compare.report import write_report
from upscaler.compare.results import Comparison, Failure
from upscaler.images import read_image

MakeComparison = Callable[..., Comparison]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1000, 800
HANDLE = 18
"""Pixels at each side of the divider that its handle covers."""
HOSTILE = "</script><script>window.injected = 1</script><img src=x onerror='window.injected = 1'>"
LOCAL = {"file", "data", "blob"}


class Page:
    """A report in the browser: its first card, unless another is named."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())
        self.wait("document.readyState === 'complete' && document.querySelector('h1').textContent")
        self.run("document.querySelector('#frame-0').scrollIntoView()")
        self.settle()

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


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Chromium without a window, that cannot resolve any name."""
    missing = []
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        missing.append("selenium (pip install selenium)")
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
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
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--force-color-profile=srgb",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        started.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield started
    finally:
        started.quit()


@pytest.fixture
def page(driver: Any) -> Iterator[Page]:
    """A page; afterwards the console must be empty, and nothing asked of any network."""
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get_log("performance")
    yield Page(driver)
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


@pytest.fixture
def comparison(tmp_path: Path, make_comparison: MakeComparison) -> Comparison:
    made = make_comparison(tmp_path)
    write_report(tmp_path / "report.html", made, shown=2)
    return made


def closeness(shot: np.ndarray, picture: np.ndarray, columns: slice) -> float:
    """Mean absolute difference in levels over some columns."""
    difference = np.subtract(shot[:, columns], picture[:, columns], dtype=np.int16)
    return float(np.abs(difference).mean())


def sides(page: Page, folder: Path, pictures: dict[str, str]) -> tuple[str, str]:
    """Which of the pictures is seen left and right of the divider; fails where none really is."""
    shot, line = page.shot()
    seen = []
    for columns in (slice(0, max(0, line - HANDLE)), slice(min(480, line + HANDLE), 480)):
        far = {
            key: closeness(shot, read_image(folder / path), columns)
            for key, path in pictures.items()
        }
        nearest, second = sorted(far, key=far.__getitem__)[:2]
        # What JPEG costs, and no more; the others are much further off.
        assert far[nearest] < 2.5
        assert far[second] > 1.5 * far[nearest]
        seen.append(nearest)
    return seen[0], seen[1]


def test_the_wipe_shows_one_method_on_each_side(
    page: Page, tmp_path: Path, comparison: Comparison
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    pictures = comparison.frames[0].pictures
    page.open(tmp_path / "report.html")
    page.click("1:1")
    assert page.at == 50
    assert sides(page, tmp_path, pictures) == ("bicubic", "native")
    divider = page.find("#frame-0 .divider")
    for move in (100, -200):
        _, before = page.shot()
        ActionChains(page.driver).drag_and_drop_by_offset(divider, move, 0).perform()
        assert page.shot()[1] == pytest.approx(before + move, abs=1)
        assert sides(page, tmp_path, pictures) == ("bicubic", "native")


def test_the_mouse_wipes_from_anywhere(page: Page, tmp_path: Path, comparison: Comparison) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    assert comparison
    page.open(tmp_path / "report.html")
    page.run("document.querySelector('#frame-0 .view').scrollIntoView({ block: 'center' })")
    view = page.find("#frame-0 .view")
    quarter = view.size["width"] // 4
    mouse = ActionChains(page.driver).move_to_element_with_offset(view, -quarter, 40)
    mouse.click_and_hold().perform()
    assert page.at == 25
    ActionChains(page.driver).move_by_offset(2 * quarter, 0).perform()
    assert page.at == 75
    ActionChains(page.driver).release().move_by_offset(-quarter, 0).perform()
    assert page.at == 75


def test_a_finger_wipes(page: Page, tmp_path: Path, comparison: Comparison) -> None:
    assert comparison
    page.open(tmp_path / "report.html")
    page.run("document.querySelector('#frame-0 .view').scrollIntoView({ block: 'center' })")
    left, top, width, height = page.run(
        "const box = document.querySelector('#frame-0 .view').getBoundingClientRect();"
        "return [box.left, box.top, box.width, box.height]"
    )
    y = top + height / 2

    def touch(kind: str, *shares: float) -> None:
        points = [{"x": left + share * width, "y": y} for share in shares]
        event = {"type": kind, "touchPoints": points}
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)

    touch("touchStart", 0.5)
    for share in (0.45, 0.4, 0.3, 0.2):
        touch("touchMove", share)
    touch("touchEnd")
    assert page.at == 20


def test_the_keyboard_wipes_and_chooses(page: Page, tmp_path: Path, comparison: Comparison) -> None:
    from selenium.webdriver.common.keys import Keys

    pictures = comparison.frames[0].pictures
    page.open(tmp_path / "report.html")
    page.press("z")
    page.press(Keys.ARROW_RIGHT * 3)
    assert page.at == 53
    page.press(Keys.ARROW_LEFT, shift=True)
    assert page.at == 43
    assert sides(page, tmp_path, pictures) == ("bicubic", "native")
    page.press("2")
    assert sides(page, tmp_path, pictures) == ("nearest", "native")
    page.press("1", shift=True)
    assert sides(page, tmp_path, pictures) == ("nearest", "bicubic")
    page.press("9")  # there is no ninth
    assert sides(page, tmp_path, pictures) == ("nearest", "bicubic")
    label = page.find("#frame-0 .divider").get_attribute("aria-label")
    assert label == "Divider between nearest and bicubic"
    for key, at in ((Keys.HOME, 0), (Keys.END, 100), (Keys.ARROW_RIGHT, 100)):
        page.press(key)
        assert page.at == at
    page.press("j")
    focused = "return document.activeElement.closest('.card').id"
    assert page.run(focused) == "frame-1"


def test_methods_are_chosen_from_lists(page: Page, tmp_path: Path, comparison: Comparison) -> None:
    from selenium.webdriver.support.ui import Select

    pictures = comparison.frames[0].pictures
    page.open(tmp_path / "report.html")
    page.click("1:1")
    left, right = page.driver.find_elements("css selector", "#frame-0 .bar select")
    Select(left).select_by_visible_text("3 native")
    Select(right).select_by_visible_text("2 nearest")
    assert sides(page, tmp_path, pictures) == ("native", "nearest")
    Select(page.find("#frames .heading select")).select_by_visible_text("1 bicubic")
    assert sides(page, tmp_path, pictures) == ("bicubic", "nearest")
    assert page.text("#frame-1 .tag.left") == "bicubic"


def test_heat_maps(page: Page, tmp_path: Path, comparison: Comparison) -> None:
    frame = comparison.frames[0]
    maps = {f"FLIP of {key}": path for key, path in frame.flip_maps.items()}
    both = maps | frame.pictures
    page.open(tmp_path / "report.html")
    page.click("1:1")
    page.click("FLIP")
    # The native render has no map: its picture says where in the scene the differences are.
    assert sides(page, tmp_path, both) == ("FLIP of bicubic", "native")
    assert page.text("#frame-0 .tag.left") == "FLIP of bicubic"
    page.press("2", shift=True)
    assert sides(page, tmp_path, both) == ("FLIP of bicubic", "FLIP of nearest")
    page.press("f")
    assert sides(page, tmp_path, both) == ("bicubic", "nearest")


def test_crops_lead_to_their_place(page: Page, tmp_path: Path, comparison: Comparison) -> None:
    crop = comparison.frames[0].crops[0]
    page.open(tmp_path / "report.html")
    page.wait(
        "[...document.querySelectorAll('#frame-0 .crop')].every((image) => image.naturalWidth)"
    )
    assert len(page.driver.find_elements("css selector", "#frame-0 .crop")) == 2 * 3
    image = page.find("#frame-0 .crop")
    assert image.value_of_css_property("image-rendering") == "pixelated"
    assert image.get_property("naturalWidth") == crop.width
    assert image.size["width"] > 2 * crop.width
    image.click()
    marked = page.run(
        "const mark = document.querySelector('#frame-0 .mark').getBoundingClientRect();"
        "const image = document.querySelector('#frame-0 .right img').getBoundingClientRect();"
        "return [mark.left - image.left, mark.top - image.top, mark.width, mark.height]"
    )
    assert marked == pytest.approx([crop.x, crop.y, crop.width, crop.height], abs=1)


def test_pictures_far_away_are_freed(
    page: Page, tmp_path: Path, make_comparison: MakeComparison
) -> None:
    comparison = make_comparison(tmp_path, frames=1)
    many = msgspec.structs.replace(comparison, frames=comparison.frames * 8)
    write_report(tmp_path / "report.html", many, shown=8)
    page.open(tmp_path / "report.html")
    shown = "document.querySelectorAll('#frame-{} img[src]').length"
    page.wait(f"{shown.format(0)} === {2 + 2 * 3}")
    assert page.run(f"return {shown.format(7)}") == 0
    page.run("document.querySelector('#frame-7').scrollIntoView()")
    page.wait(f"{shown.format(7)} === {2 + 2 * 3}")
    page.wait(f"{shown.format(0)} === 0")


def test_figures(page: Page, tmp_path: Path, make_comparison: MakeComparison) -> None:
    comparison = make_comparison(tmp_path, methods=("bicubic", "nearest", "bicubic-matlab"))
    emulated = msgspec.structs.replace(comparison.methods[2], emulated=True)
    equal = msgspec.structs.replace(
        comparison.frames[0],
        methods=comparison.frames[0].methods | {"nearest": {"psnr_db": math.inf, "ssim": 1.0}},
    )
    told = msgspec.structs.replace(
        comparison,
        methods=[*comparison.methods[:2], emulated],
        frames=[equal, comparison.frames[1]],
        failures=[Failure(name="arena/7", reason="is no picture")],
    )
    write_report(tmp_path / "report.html", told, shown=1)
    page.open(tmp_path / "report.html")
    assert page.text("h1") == "3 methods on 2 frames at 2x"
    overall = told.methods[0].overall
    table = page.text("#methods table")
    assert f"{overall['psnr_db'].mean:.3f}" in table
    assert f"{overall['psnr_db'].low:.2f} to {overall['psnr_db'].high:.2f}" in table
    assert f"{overall['ssim'].mean:.4f}" in table
    assert "emulated" in table
    assert "FLIP" not in table  # nobody has a figure
    best = page.driver.find_elements("css selector", "#methods .best")
    assert [cell.text.splitlines()[0] for cell in best[-2:]] == ["1.00, best", "1.50, best"]
    drawn = page.driver.find_elements("css selector", "#plot .name")
    assert sorted(name.text for name in drawn) == ["bicubic", "nearest"]
    assert "bicubic-matlab" in page.text("#plot .note")
    assert "arena/7" in page.text("#failures")
    card = page.text("#frame-0 .grid")
    assert f"{told.frames[0].methods['bicubic']['psnr_db']:.2f}" in card
    assert "∞" in card
    assert "arena/1" in page.text("#others table")
    assert "pictures/1" in page.text("#others table")
    assert not page.driver.find_elements("css selector", "#frame-1")


def test_names_are_no_markup(page: Page, tmp_path: Path, comparison: Comparison) -> None:
    key = HOSTILE
    frame = comparison.frames[0]
    hostile = msgspec.structs.replace(
        comparison,
        machine=HOSTILE,
        scenes=[msgspec.structs.replace(comparison.scenes[0], name=HOSTILE, methods={})],
        methods=[msgspec.structs.replace(comparison.methods[0], key=key), comparison.methods[1]],
        frames=[
            msgspec.structs.replace(
                frame, name=HOSTILE, pictures=frame.pictures | {key: frame.pictures["bicubic"]}
            )
        ],
        failures=[Failure(name=HOSTILE, reason=HOSTILE)],
    )
    write_report(tmp_path / "report.html", hostile, shown=1)
    page.open(tmp_path / "report.html")
    for selector in (".facts", "#methods", "#failures", "#frame-0 h3", "#frame-0 .tag"):
        assert HOSTILE in page.text(selector)
    assert page.run("return window.injected") is None
    assert page.driver.title.startswith(HOSTILE)


def test_without_a_native_render(
    page: Page, tmp_path: Path, make_comparison: MakeComparison
) -> None:
    comparison = make_comparison(tmp_path, native=False)
    write_report(tmp_path / "report.html", comparison, shown=2)
    page.open(tmp_path / "report.html")
    for section in ("plot", "scenes", "measures", "others", "failures"):
        assert not page.find(f"#{section}").is_displayed()
    assert "PSNR" not in page.text("main")
    page.click("1:1")
    assert sides(page, tmp_path, comparison.frames[0].pictures) == ("bicubic", "nearest")


def test_it_fits_a_narrow_window(page: Page, tmp_path: Path, comparison: Comparison) -> None:
    assert comparison
    metrics = {"width": 400, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.open(tmp_path / "report.html")
        assert page.run("return document.documentElement.scrollWidth") <= 400
    finally:
        metrics["width"] = WIDTH
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
