from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame, Request
from upscaler.live.viewer import Viewer
from upscaler.live.watched import WatchedCatalogue, WatchedUpscaler
from upscaler.models.library import find_model
from upscaler.service.process import ServiceProcess
from upscaler.testing import FakeEngine


def request_for(method: str, width: int = 64) -> Request:
    return Request(
        method=method,
        size=Size(width, 36),
        scale=Fraction(2),
        pixel_format=PixelFormat.RGB8,
    )


@pytest.fixture
def catalogue(service: ServiceProcess) -> Iterator[WatchedCatalogue]:
    made = WatchedCatalogue(engine=FakeEngine(), models=["quicksrnet-small-x2"])
    viewer = Viewer(
        service.endpoint,
        source="a test",
        left="nearest",
        right="bicubic",
        limited=False,
        watches_service=True,
    )
    made.viewer = viewer
    yield made
    viewer.close()


@pytest.mark.parametrize("method", ["nearest", "quicksrnet-small"])
def test_frames_are_upscaled_and_shown_when_they_are_wanted(
    catalogue: WatchedCatalogue, collecting_page: Any, frame: Frame, method: str
) -> None:
    upscaler = catalogue.open(request_for(method))
    assert isinstance(upscaler, WatchedUpscaler)
    assert not isinstance(upscaler._upscaler, WatchedUpscaler)
    assert (upscaler.name, upscaler.output_shape) == (method, (72, 128, 3))
    result = np.empty(upscaler.output_shape, np.uint8)
    upscaler(frame, result)
    assert np.array_equal(result[::2, ::2], frame)
    viewer = catalogue.viewer
    assert viewer is not None
    assert not viewer.shows_something
    viewer.connect(collecting_page)
    assert viewer.wait_until_wanted(20)
    upscaler(frame, result)
    head, _ = collecting_page.next_picture()
    assert (head.width, head.height) == (128, 72)
    upscaler.close()


def test_the_page_stays_with_one_stream(
    catalogue: WatchedCatalogue, collecting_page: Any, frame: Frame
) -> None:
    first, other = (
        catalogue.open(request_for("nearest")),
        catalogue.open(request_for("bicubic", 32)),
    )
    viewer = catalogue.viewer
    assert viewer is not None
    viewer.connect(collecting_page)
    assert viewer.wait_until_wanted(20)
    small = np.ascontiguousarray(frame[:, :32])
    first(frame, np.empty((72, 128, 3), np.uint8))
    assert collecting_page.next_picture()[0].width == 128
    viewer.ask('{"ack":1}')
    assert viewer.wait_until_wanted(20)
    other(small, np.empty((72, 64, 3), np.uint8))
    assert viewer.wanted  # it was not taken
    catalogue._watched_s -= 10  # silent for long
    other(small, np.empty((72, 64, 3), np.uint8))
    assert collecting_page.next_picture()[0].width == 64


def test_a_model_that_replaces_another_is_watched_too(catalogue: WatchedCatalogue) -> None:
    model = find_model("quicksrnet-small-x2")
    assert isinstance(catalogue.load(model, request_for("quicksrnet-small")), WatchedUpscaler)
