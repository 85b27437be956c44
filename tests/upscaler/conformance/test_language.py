"""Lines between the kit and a driver, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ProtocolError
from upscaler.conformance.language import Line, line_of, parse_line


def test_a_line_is_a_word_and_its_values() -> None:
    line = parse_line("ok id=1 method=fsr1:stops=0.5,denoise fallback= path=/tmp/a%20b\r\n")
    assert line.word == "ok"
    assert line.integer("id") == 1
    assert line.text("method") == "fsr1:stops=0.5,denoise"
    assert line.text("fallback") == ""
    assert line.text("path") == "/tmp/a b"  # noqa: S108 - only a text


@given(values=st.dictionaries(st.from_regex("[a-z_]{1,9}", fullmatch=True), st.text(max_size=20)))
def test_any_value_survives_a_line(values: dict[str, str]) -> None:
    values = {key: text.encode(errors="replace").decode() for key, text in values.items()}
    line = Line("open", values)
    written = str(line)
    assert written.isascii()
    assert written.isprintable()
    if len(written) <= 1024:
        assert parse_line(f"{written}\n") == line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ok id", "'id' is no key=value"),
        ("ok  id=1", "'' is no key=value"),
        ("ok =1", "'=1' is no key=value"),
        ("", "begins with a word"),
        ("{json}", "begins with a word"),
        ("ok name=é", "not all ASCII"),
        ("ok name=" + "x" * 1024, "not all ASCII, or too many"),
    ],
)
def test_what_is_no_line_is_said(text: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        parse_line(text)


def test_values_that_are_no_numbers_are_said() -> None:
    line = line_of("ok", id="1.5", sharpness="much")
    with pytest.raises(ProtocolError, match=r"id=1\.5 is no whole number"):
        line.integer("id")
    with pytest.raises(ProtocolError, match="sharpness=much is no number"):
        line.number("sharpness")
    with pytest.raises(ProtocolError, match="crc= is missing in 'ok id="):
        line.text("crc")
