"""HTML pages that need no network, no script and no file beside them.

Names of methods, models and files are the user's and may hold anything: `Markup` is what has been
escaped, and `tag` escapes everything else.
"""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path

STYLE = Path(__file__).with_name("page.css")
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *content: str, css: str = "", **attributes: str) -> Markup:
    """Return an element; content that is no `Markup` is escaped."""
    given = {**({"class": css} if css else {}), **attributes}
    written = "".join(f' {key}="{html.escape(value)}"' for key, value in given.items())
    return Markup(f"<{name}{written}>{joined(content)}</{name}>")


def joined(parts: Iterable[str]) -> Markup:
    """Return parts one after the other; those that are no `Markup` are escaped."""
    return Markup(
        "".join(part if isinstance(part, Markup) else html.escape(part) for part in parts)
    )


def section(title: str, *content: str) -> Markup:
    """Return a section with a heading; nothing where there is no content."""
    inside = joined(content)
    return tag("section", tag("h2", title), inside) if inside else Markup("")


def facts(known: dict[str, str]) -> Markup:
    """Return a list of facts by name; empty ones are left out."""
    listed = [tag("div", tag("dt", name), tag("dd", fact)) for name, fact in known.items() if fact]
    return tag("dl", *listed, css="facts")


def bullets(lines: Sequence[str], *, css: str = "") -> Markup:
    """Return a list; nothing for no lines."""
    return tag("ul", *(tag("li", line) for line in lines), css=css) if lines else Markup("")


def picture(path: Path, words: str) -> Markup:
    """Return a PNG file as a picture inside the page; `words` say what it shows."""
    encoded = b64encode(path.read_bytes()).decode()
    return Markup(f'<img alt="{html.escape(words)}" src="data:image/png;base64,{encoded}">')


def write_page(path: Path, title: str, *content: str) -> None:
    """Write a page; it appears whole or not at all. Raises OSError."""
    head = joined(
        [
            Markup('<meta charset="utf-8">'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", title),
            Markup('<link rel="icon" href="data:,">'),
            Markup(f"<style>{STYLE.read_text(encoding='utf-8')}</style>"),
        ]
    )
    page = joined([tag("head", head), tag("body", tag("main", *content))])
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(f'<!doctype html>\n<html lang="en">{page}</html>\n', encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
