from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from upscaler.bench.latency.page import (
    Markup,
    bullets,
    facts,
    joined,
    picture,
    section,
    tag,
    write_page,
)
from upscaler.images import write_image

HOSTILE = "<script>alert(1)</script>&\"'"


def test_what_is_no_markup_is_escaped() -> None:
    made = tag("p", HOSTILE, tag("b", "bold"), css='x"y', title=HOSTILE)
    assert "<script>" not in made
    assert made.startswith('<p class="x&quot;y" title="&lt;script&gt;')
    assert made.endswith("<b>bold</b></p>")
    assert joined(["<", Markup("<br>")]) == "&lt;<br>"


def test_empty_parts_leave_nothing() -> None:
    assert section("Title", bullets([]), "") == ""
    assert section("Title", "x") == "<section><h2>Title</h2>x</section>"
    assert "Empty" not in facts({"Empty": "", "Full": "1"})


def test_a_page_needs_no_file_and_no_network(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_page(tmp_path / "a.html", HOSTILE, picture(tmp_path / "a.png", HOSTILE), HOSTILE)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")

    class Reader(HTMLParser):
        tags: list[str] = []  # noqa: RUF012 - of one reader
        links: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    reader = Reader()
    reader.feed(text)
    assert "script" not in reader.tags
    assert len(reader.links) == 2
    assert all(link.startswith("data:") for link in reader.links)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.png"]
