from __future__ import annotations

import pytest

from capture.windows import choose
from protocol.errors import CaptureError

TITLES = ["Quake", "quake - menu", "Terminal", "Terminal"]


@pytest.mark.parametrize(
    ("title", "place"), [("Quake", 0), ("menu", 1), ("QUAKE - MENU", 1), ("quake - menu", 1)]
)
def test_an_exact_title_wins_then_a_part_in_any_case(title: str, place: int) -> None:
    assert choose(title, TITLES) == place


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("quake", "2 windows are called 'quake': 'Quake', 'quake - menu'; give a whole title"),
        ("Terminal", "2 windows are called 'Terminal'"),
        ("doom", "no window is called 'doom'; there are: 'Quake', 'quake - menu', 'Terminal'"),
    ],
)
def test_what_is_not_clear_is_refused(title: str, words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        choose(title, TITLES)


def test_no_window_at_all() -> None:
    with pytest.raises(CaptureError, match="there are: none"):
        choose("doom", [])
