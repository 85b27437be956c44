"""The report as a file: what it holds, what it never holds, and how it is written."""

from __future__ import annotations

import json
import math
import re
import tracemalloc
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from protocol.errors import BadImageError
from upscaler.compare.report import write_report
from upscaler.compare.results import Comparison, Crop
from upscaler.images import read_image

MakeComparison = Callable[..., Comparison]
HOSTILE = "</script><script>window.injected = 1</script><!-- pictures --> &amp; \"'"
# A namespace is a name, and is never fetched.
NAMESPACE = "http://www.w3.org/2000/svg"


class Page(HTMLParser):
    """Script blocks by id, all attributes and all text of a report."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.blocks: dict[str, str] = {}
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self._block: str | None = None
        self.markup = path.read_text(encoding="utf-8")
        self.feed(self.markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._block = dict(attrs).get("id") or tag if tag in {"script", "style", "title"} else None

    def handle_data(self, data: str) -> None:
        if self._block:
            self.blocks[self._block] = self.blocks.get(self._block, "") + data

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._block = None

    @property
    def pictures(self) -> set[str]:
        return {name for name in self.blocks if re.match(r"(picture|flip|crop)-", name)}

    @property
    def content(self) -> Any:
        return json.loads(self.blocks["comparison"])

    def image(self, name: str) -> np.ndarray:
        encoded = np.frombuffer(b64decode(self.blocks[name]), np.uint8)
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


@pytest.fixture
def comparison(tmp_path: Path, make_comparison: MakeComparison) -> Comparison:
    return make_comparison(tmp_path)


def test_nothing_outside_is_referenced(tmp_path: Path, comparison: Comparison) -> None:
    write_report(tmp_path / "report.html", comparison, shown=2)
    page = Page(tmp_path / "report.html")
    links = [value for name, value in page.attributes if name in {"src", "href", "srcset", "data"}]
    assert links == ["data:,"]  # the icon, which a browser would otherwise ask the folder for
    written = page.markup.replace(NAMESPACE, "")
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|@import|\burl\(", written)
    policies = [value for name, value in page.attributes if name == "content"]
    assert any(value.startswith("default-src 'none'; img-src data: blob:;") for value in policies)


def test_pictures_are_near_and_crops_exact(tmp_path: Path, comparison: Comparison) -> None:
    write_report(tmp_path / "report.html", comparison, shown=2)
    page = Page(tmp_path / "report.html")
    frame = comparison.frames[1]
    for key, column in (("bicubic", "0"), ("nearest", "1"), ("native", "native")):
        exact = read_image(tmp_path / frame.pictures[key])
        embedded = page.image(f"picture-1-{column}")
        assert embedded.shape == exact.shape
        assert np.abs(np.subtract(embedded, exact, dtype=np.int16)).mean() < 2.5
        for place, crop in enumerate(frame.crops):
            cut = exact[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
            assert np.array_equal(page.image(f"crop-1-{place}-{column}"), cut)
    heat = read_image(tmp_path / frame.flip_maps["nearest"])
    assert np.abs(np.subtract(page.image("flip-1-1"), heat, dtype=np.int16)).mean() < 3
    assert len(page.pictures) == 2 * (3 + 2 + 2 * 3)


def test_jpegs_keep_full_colour(tmp_path: Path, comparison: Comparison) -> None:
    write_report(tmp_path / "report.html", comparison, shown=1)
    jpeg = b64decode(Page(tmp_path / "report.html").blocks["picture-0-0"])
    start = jpeg.index(b"\xff\xc0")  # start of frame: length, depth, height, width, components
    height, width = (int.from_bytes(jpeg[start + at : start + at + 2]) for at in (5, 7))
    assert (width, height, jpeg[start + 9]) == (480, 272, 3)
    assert [jpeg[start + 11 + 3 * channel] for channel in range(3)] == [0x11] * 3


@pytest.mark.parametrize("shown", [0, 1, 2, 5])
def test_only_the_first_frames_have_pictures(
    tmp_path: Path, comparison: Comparison, shown: int
) -> None:
    write_report(tmp_path / "report.html", comparison, shown=shown)
    page = Page(tmp_path / "report.html")
    assert {name.split("-")[1] for name in page.pictures} == set("01"[:shown])
    assert page.content["shown"] == shown
    frames = page.content["comparison"]["frames"]
    assert [frame["pictures"]["native"] for frame in frames] == [
        "pictures/0/native.png",
        "pictures/1/native.png",
    ]


def test_names_are_no_markup(tmp_path: Path, comparison: Comparison) -> None:
    scenes = [msgspec.structs.replace(comparison.scenes[0], name=HOSTILE)]
    methods = [msgspec.structs.replace(comparison.methods[0], key=HOSTILE), comparison.methods[1]]
    hostile = msgspec.structs.replace(
        comparison, scenes=scenes, methods=methods, machine="<!-- script --><b>"
    )
    write_report(tmp_path / "report.html", comparison, shown=1)
    tags = Page(tmp_path / "report.html").tags
    write_report(tmp_path / "report.html", hostile, shown=1)
    page = Page(tmp_path / "report.html")
    # One picture and its two crops less: none is of a method by that name.
    assert len(page.tags) == len(tags) - 4
    assert set(page.tags) == set(tags)
    assert page.content["comparison"] == json.loads(msgspec.json.encode(hostile))
    assert page.blocks["title"] == f"{HOSTILE}, nearest: compared"


def test_infinite_figures_stay_infinite(tmp_path: Path, comparison: Comparison) -> None:
    frame = msgspec.structs.replace(
        comparison.frames[0], methods={"bicubic": {"psnr_db": math.inf, "ssim": None}}
    )
    equal = msgspec.structs.replace(comparison, frames=[frame])
    write_report(tmp_path / "report.html", equal, shown=0)
    figures = Page(tmp_path / "report.html").content["comparison"]["frames"][0]["methods"]
    assert figures == {"bicubic": {"psnr_db": math.inf, "ssim": None}}


def test_without_a_native_render(tmp_path: Path, make_comparison: MakeComparison) -> None:
    write_report(tmp_path / "report.html", make_comparison(tmp_path, native=False), shown=1)
    page = Page(tmp_path / "report.html")
    crops = {f"crop-0-{place}-{column}" for place in range(2) for column in range(2)}
    assert page.pictures == {"picture-0-0", "picture-0-1"} | crops


def test_it_appears_whole_or_not_at_all(tmp_path: Path, comparison: Comparison) -> None:
    path = tmp_path / "report.html"
    path.write_text("the report before")
    missing = tmp_path / comparison.frames[1].pictures["nearest"]
    missing.unlink()
    with pytest.raises(BadImageError, match=re.escape(f"{missing}: No such file")):
        write_report(path, comparison, shown=2)
    missing.write_bytes(b"")
    with pytest.raises(BadImageError, match=re.escape(str(missing))):
        write_report(path, comparison, shown=2)
    assert path.read_text() == "the report before"
    assert not list(tmp_path.glob(".*"))
    write_report(path, comparison, shown=1)  # its pictures are there
    assert not list(tmp_path.glob(".*"))


def test_a_crop_outside_is_refused(tmp_path: Path, comparison: Comparison) -> None:
    crop = Crop(x=470, y=0, width=48, height=32)
    frame = msgspec.structs.replace(comparison.frames[0], crops=[crop])
    outside = msgspec.structs.replace(comparison, frames=[frame])
    with pytest.raises(BadImageError, match="is 480x272 and has no crop of 48x32 there"):
        write_report(tmp_path / "report.html", outside, shown=1)


def test_a_folder_that_is_not_there(tmp_path: Path, comparison: Comparison) -> None:
    with pytest.raises(BadImageError, match="cannot write"):
        write_report(tmp_path / "nowhere" / "report.html", comparison, shown=0)


def test_pictures_pass_through_memory_one_by_one(tmp_path: Path, comparison: Comparison) -> None:
    many = msgspec.structs.replace(comparison, frames=comparison.frames * 20)
    write_report(tmp_path / "report.html", comparison, shown=2)  # imports
    tracemalloc.start()
    try:
        write_report(tmp_path / "report.html", many, shown=40)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (tmp_path / "report.html").stat().st_size / 4
