"""Fixtures that several test files share: real processes, real sockets, a real game frame."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame
from upscaler.service.process import ServiceProcess


@pytest.fixture(scope="session")
def service() -> Iterator[ServiceProcess]:
    """A service process with the default engine, for tests that leave it running."""
    with ServiceProcess() as running:
        yield running
        assert running.running, running.log()


@pytest.fixture
def frame() -> Frame:
    """A 64x36 cut of a real game frame, rgb8."""
    return game_frame(Size(64, 36), PixelFormat.RGB8)
