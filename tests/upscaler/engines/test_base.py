from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from protocol.errors import BadRequestError, EngineError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.engines.base import NetworkUpscaler, facts_of
from upscaler.models.library import Model


class Recorder(NetworkUpscaler):
    """Counts what reaches the runtime."""

    calls = released = 0

    def _infer(self, src: Frame, dst: Frame) -> None:
        self.calls += 1
        if src[0, 0, 0] == 13:
            msg = "vendor trouble"
            raise RuntimeError(msg)
        dst[...] = 1

    def _release(self) -> None:
        self.released += 1


@pytest.fixture
def upscaler(make_model: Callable[..., Model]) -> Recorder:
    model = make_model(Fraction(2))
    return Recorder(
        facts_of(model, Size(6, 4), PixelFormat.RGBA8, engine="recorder", device="a desk")
    )


def zeros(shape: tuple[int, ...]) -> Frame:
    return np.zeros(shape, np.uint8)


def test_says_what_it_is(upscaler: Recorder) -> None:
    assert (upscaler.name, upscaler.engine, upscaler.device, upscaler.emulated) == (
        "quicksrnet-small",
        "recorder",
        "a desk",
        False,
    )
    assert upscaler.input_shape == (4, 6, 4)
    assert upscaler.output_shape == (8, 12, 4)


WRONG = [
    (
        zeros((4, 6, 3)),
        zeros((8, 12, 4)),
        r"the source must be .* \(4, 6, 4\), not uint8 \(4, 6, 3",
    ),
    (zeros((4, 6, 4)), zeros((8, 12, 3)), r"the result must be .* \(8, 12, 4\)"),
    (zeros((6, 4, 4)), zeros((8, 12, 4)), "the source"),
    (np.zeros((4, 6, 4), np.int8), zeros((8, 12, 4)), "the source .* not int8"),
    (zeros((4, 6, 4)), np.zeros((8, 12, 4), np.float32), "the result .* not float32"),
    (zeros((4, 12, 4))[:, ::2], zeros((8, 12, 4)), "the source .* not C-contiguous"),
    (zeros((4, 6, 4)), zeros((12, 8, 4)).transpose(1, 0, 2), "the result .* not C-contiguous"),
    (zeros((4, 6, 4)), np.frombuffer(bytes(8 * 12 * 4), np.uint8).reshape(8, 12, 4), "read-only"),
]


@pytest.mark.parametrize(("src", "dst", "words"), WRONG)
def test_other_arrays_never_reach_the_runtime(
    upscaler: Recorder, src: Frame, dst: Frame, words: str
) -> None:
    with pytest.raises(BadRequestError, match=words) as caught:
        upscaler(src, dst)
    assert caught.value.code is ErrorCode.PIXELS_MISMATCH
    assert upscaler.calls == 0


def test_a_read_only_source_is_fine(upscaler: Recorder) -> None:
    upscaler(np.frombuffer(bytes(4 * 6 * 4), np.uint8).reshape(4, 6, 4), zeros((8, 12, 4)))
    assert upscaler.calls == 1


def test_vendor_errors_become_ours(upscaler: Recorder) -> None:
    src = zeros((4, 6, 4))
    src[0, 0, 0] = 13
    with pytest.raises(EngineError, match="recorder failed on a frame: vendor trouble") as caught:
        upscaler(src, zeros((8, 12, 4)))
    assert caught.value.code is ErrorCode.INTERNAL
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_closing_twice_releases_once_and_ends_it(upscaler: Recorder) -> None:
    upscaler.close()
    upscaler.close()
    assert upscaler.released == 1
    with pytest.raises(EngineError, match="this quicksrnet-small upscaler is closed"):
        upscaler(zeros((4, 6, 4)), zeros((8, 12, 4)))
