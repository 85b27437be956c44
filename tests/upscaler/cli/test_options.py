from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import BadRequestError
from upscaler.cli.options import npu_settings, parse_size, parse_sizes


def test_sizes() -> None:
    assert parse_size("960x540") == (960, 540)
    assert parse_sizes("540p, 720P,64x32,960x540,1080p") == [
        (960, 540),
        (1280, 720),
        (64, 32),
        (1920, 1080),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("540", "'540' is no size"),
        ("p", "'p' is no size"),
        ("540p,", "'' is no size"),
        ("480p", "480p has no whole width in 16:9; write the size as WIDTHxHEIGHT"),
        ("999999999p", "is no size"),
        ("-9p", "'-9p' is no size"),
        ("64x32p", "'64x32p' is no size"),
    ],
)
def test_what_is_no_size(text: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        parse_sizes(text)


def test_settings_of_the_npu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPSCALER_CACHE_DIR", str(tmp_path))
    plain = npu_settings(None, None, cache=True)
    assert (plain.cache, plain.asked) == (tmp_path / "contexts", False)
    assert npu_settings(None, None, cache=False).cache is None
    asked = npu_settings(["vtcm_mb=4"], None, cache=True)
    assert (asked.options.vtcm_mb, asked.asked) == (4, True)
    ahead = npu_settings([], tmp_path, cache=True)
    assert (ahead.contexts, ahead.cache, ahead.asked) == (tmp_path, None, True)
