"""The report in a real browser (see conftest.py): what it shows, and that the wipe wipes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from upscaler.compare.report import write_report
from upscaler.compare.results import Comparison, Failure
from upscaler.images import read_image

MakeComparison = Callable[..., Comparison]
HANDLE = 18
"""Pixels at each side of the divider that its handle covers."""
HOSTILE = "</script><script>window.injected = 1</script><img src=x onerror='window.injected = 1'>"


@pytest.fixture
def comparison(tmp_path: Path, make_comparison: MakeComparison) -> Comparison:
    made = make_comparison(tmp_path)
    write_report(tmp_path / "report.html", made, shown=2)
    return made


def closeness(shot: np.ndarray, picture: np.ndarray, columns: slice) -> float:
    """Mean absolute difference in levels over some columns."""
    difference = np.subtract(shot[:, columns], picture[:, columns], dtype=np.int16)
    return float(np.abs(difference).mean())


def sides(page: Any, folder: Path, pictures: dict[str, str]) -> tuple[str, str]:
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
    page: Any, tmp_path: Path, comparison: Comparison
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


def test_the_mouse_wipes_from_anywhere(page: Any, tmp_path: Path, comparison: Comparison) -> None:
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


def test_a_finger_wipes(page: Any, tmp_path: Path, comparison: Comparison) -> None:
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


def test_the_keyboard_wipes_and_chooses(page: Any, tmp_path: Path, comparison: Comparison) -> None:
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


def test_methods_are_chosen_from_lists(page: Any, tmp_path: Path, comparison: Comparison) -> None:
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


def test_heat_maps(page: Any, tmp_path: Path, comparison: Comparison) -> None:
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


def test_crops_lead_to_their_place(page: Any, tmp_path: Path, comparison: Comparison) -> None:
    crop = comparison.frames[0].crops[0]
    page.open(tmp_path / "report.html")
    page.wait(
        "[...document.querySelectorAll('#frame-0 .crop')].every((image) => image.naturalWidth)"
    )
    assert len(page.driver.find_elements("css selector", "#frame-0 .crop")) == 2 * 3
    image = page.find("#frame-0 .crop")
    assert image.value_of_css_property("image-rendering") == "pixelated"
    assert image.get_property("naturalWidth") == crop.width
    enlarged, rest = divmod(image.size["width"], crop.width)
    assert (enlarged >= 2, rest) == (True, 0)
    image.click()
    marked = page.run(
        "const mark = document.querySelector('#frame-0 .mark').getBoundingClientRect();"
        "const image = document.querySelector('#frame-0 .right img').getBoundingClientRect();"
        "return [mark.left - image.left, mark.top - image.top, mark.width, mark.height]"
    )
    assert marked == pytest.approx([crop.x, crop.y, crop.width, crop.height], abs=1)


def test_pictures_far_away_are_freed(
    page: Any, tmp_path: Path, make_comparison: MakeComparison
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


def test_figures(page: Any, tmp_path: Path, make_comparison: MakeComparison) -> None:
    comparison = make_comparison(tmp_path, methods=("bicubic", "nearest", "bicubic-matlab"))
    quick = msgspec.structs.replace(comparison.methods[2].latency, p50_ms=0.25, p95_ms=0.25)
    emulated = msgspec.structs.replace(comparison.methods[2], emulated=True, latency=quick)
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
    # Times of an imitated processor are never the best.
    best = page.driver.find_elements("css selector", "#methods tbody tr:first-child .best")
    assert [cell.text.splitlines()[0] for cell in best][-2:] == ["1.00", "1.50"]
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


def test_names_are_no_markup(page: Any, tmp_path: Path, comparison: Comparison) -> None:
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
    page: Any, tmp_path: Path, make_comparison: MakeComparison
) -> None:
    comparison = make_comparison(tmp_path, native=False)
    write_report(tmp_path / "report.html", comparison, shown=2)
    page.open(tmp_path / "report.html")
    for section in ("plot", "scenes", "measures", "others", "failures"):
        assert not page.find(f"#{section}").is_displayed()
    assert "PSNR" not in page.text("main")
    page.click("1:1")
    assert sides(page, tmp_path, comparison.frames[0].pictures) == ("bicubic", "nearest")


def test_it_fits_a_narrow_window(page: Any, tmp_path: Path, comparison: Comparison) -> None:
    assert comparison
    page.resize(400, 800)
    page.open(tmp_path / "report.html")
    assert page.run("return document.documentElement.scrollWidth") <= 400
