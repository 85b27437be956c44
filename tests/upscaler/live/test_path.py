"""The way through a real service, which may be slow, gone, and come again."""

from __future__ import annotations

import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import ServiceError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.live.path import LivePath, Shown
from upscaler.service.process import ServiceProcess
from upscaler.timings import STAGES

LOOKS = 400


def open_path(endpoint: str, **others: Any) -> LivePath:
    options: dict[str, Any] = {
        "size": Size(64, 36),
        "scale": Fraction(2),
        "pixel_format": PixelFormat.RGB8,
        "method": "nearest",
    }
    return LivePath(endpoint, **(options | others))


def upscale(path: LivePath, frame: Frame) -> Shown:
    assert path.ready()
    slot = path.acquire()
    np.copyto(slot, frame)
    assert path.submit(slot, captured_ns=1)
    shown = path.receive(20)
    assert shown is not None
    return shown


def test_frames_go_in_and_results_come_out(service: ServiceProcess, frame: Frame) -> None:
    with open_path(service.endpoint) as path:
        assert path.receive(0) is None
        shown = upscale(path, frame)
        assert (shown.method, shown.captured_ns) == ("nearest", 1)
        assert np.array_equal(shown.pixels[::2, ::2], frame)
        shown.release()
        shown.release()
        report = path.report()
        assert (report.method, report.size, report.upscaled) == ("nearest", "64x36", "128x72")
        assert (report.transport, report.statistics.frames) == ("shm", 1)
        assert len(report.points) == 1
        assert len(report.points[0]) == len(STAGES)
        assert sum(report.points[0]) == pytest.approx(
            report.statistics.stages["total"].p50_ms, 0.01
        )
        assert path.report().points == []


def test_methods_are_switched_and_keep_their_sessions(
    service: ServiceProcess, frame: Frame
) -> None:
    with open_path(service.endpoint) as path:
        held = upscale(path, frame)
        path.submit(frame.copy(), captured_ns=2)  # still in flight when the method changes
        path.use("bicubic")
        shown = upscale(path, frame)
        assert shown.method == "bicubic"
        assert not np.array_equal(shown.pixels, held.pixels)
        held.release()
        with pytest.raises(ServiceError, match="unknown method 'dlss'"):
            path.use("dlss")
        assert path.welcome.method == "bicubic"
        path.use("nearest")
        assert path.statistics().frames == 2
        path.use("nearest")


def test_a_service_that_goes_is_waited_for(tmp_path: Path, frame: Frame) -> None:
    bind = f"ipc://{tmp_path}/upscaler"
    with ServiceProcess(["--method", "nearest"], bind=bind) as service:
        path = open_path(bind)
        upscale(path, frame).release()
        service.send_signal(signal.SIGKILL)
        service.close()
        for _ in range(LOOKS):
            if path.note:
                break
            path.submit(path.acquire(), captured_ns=1)
            path.receive(0.02)
        assert path.note.endswith("waiting for it")
        assert path.acquire().shape == frame.shape
        assert path.submit(frame, captured_ns=1) == 0
        assert not path.ready()
    with ServiceProcess(["--method", "nearest"], bind=bind):
        assert any(path.ready() for _ in range(LOOKS))
        assert path.note == ""
        upscale(path, frame)
        path.close()
