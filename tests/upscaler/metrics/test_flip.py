from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from protocol.errors import EngineError
from upscaler.contract import Frame
from upscaler.metrics.flip import flip_map, flip_mean

needs_flip = pytest.mark.skipif(find_spec("flip_evaluator") is None, reason="no flip-evaluator")


@needs_flip
def test_equal_pictures_do_not_differ(native: Frame) -> None:
    assert flip_mean(native, native.copy()) == 0


@needs_flip
def test_is_what_the_tool_says_by_default(native: Frame, noisy: Frame) -> None:
    import flip_evaluator

    first, second = (np.float32(each) / np.float32(255) for each in (native, noisy))
    _, mean, parameters = flip_evaluator.evaluate(first, second, "LDR")
    assert parameters["ppd"] == pytest.approx(67, abs=0.1)
    assert flip_mean(noisy, native) == pytest.approx(mean, abs=1e-5)


@needs_flip
def test_the_map_shows_where(native: Frame) -> None:
    spotted = native.copy()
    spotted[60:64, 80:84] ^= 128
    errors = flip_map(spotted, native)
    assert errors.shape == native.shape[:2]
    assert errors.dtype == np.float32
    assert 0.2 < errors[62, 82] <= 1
    assert errors[0, 0] == 0
    assert flip_mean(spotted, native) == pytest.approx(float(errors.mean()), abs=1e-6)


@needs_flip
def test_colours_are_red_first(native: Frame, noisy: Frame) -> None:
    swapped = flip_mean(noisy[..., ::-1], native[..., ::-1])
    assert swapped != flip_mean(noisy, native)


@needs_flip
def test_from_further_away_less_is_seen(native: Frame, noisy: Frame) -> None:
    assert flip_mean(noisy, native, pixels_per_degree=120) < flip_mean(noisy, native)


@needs_flip
def test_a_shaved_border_does_not_count(native: Frame, noisy: Frame) -> None:
    framed = noisy.copy()
    framed[:3] = framed[:, -3:] = 255
    inside = slice(3, -3), slice(3, -3)
    assert flip_mean(framed, native, shave=3) == flip_mean(noisy[inside], native[inside])


def test_refuses_what_it_cannot_see(native: Frame) -> None:
    with pytest.raises(ValueError, match="RGB, not"):
        flip_mean(native[..., 0], native[..., 0])
    with pytest.raises(ValueError, match="one shape"):
        flip_mean(native, native[1:])
    with pytest.raises(ValueError, match="positive number of pixels per degree, not 0"):
        flip_mean(native, native, pixels_per_degree=0)


def test_a_missing_library_is_named(native: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(EngineError, match="pip install flip-evaluator"):
        flip_mean(native, native)
