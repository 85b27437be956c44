from __future__ import annotations

import gc
import time

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.latency.loops import (
    Limit,
    Take,
    closed_loop,
    device_loop,
    open_loop,
    without_garbage,
)
from upscaler.client import Client
from upscaler.contract import Frame
from upscaler.filters.library import make_filter
from upscaler.service.process import ServiceProcess

SIZE = Size(64, 36)
FRAMES = [np.full((36, 64, 3), level, np.uint8) for level in (10, 200)]
FOREVER_NS = 2**62


def take(frames: int, *, until_ns: int = FOREVER_NS, fewest: int = 1) -> Take:
    return Take(limit=Limit(frames=frames, until_ns=until_ns, fewest=fewest))


def connect(service: ServiceProcess, **options: object) -> Client:
    return Client(service.endpoint, size=(64, 36), method="nearest", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("transport", ["shm", "inline"])
def test_a_closed_loop_takes_one_frame_after_another(
    service: ServiceProcess, transport: str
) -> None:
    taken, seen = take(7), []
    taken.idle = seen.append
    with connect(service, delivery="every", transport=transport) as client:
        closed_loop(client, FRAMES, taken)
        assert client.stats().frames == 7
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    ends = 0
    for shot in taken.returned:
        assert shot.timing is not None
        assert shot.meant_ns == shot.submitted_ns == shot.timing.submitted_ns
        assert shot.timing.submitted_ns > ends
        assert shot.call_ns > 0
        ends = shot.timing.arrived_ns
    assert taken.shots[0].harness_ns == 0
    assert all(shot.harness_ns > 0 for shot in taken.shots[1:])


def test_an_open_loop_computes_each_time_from_the_beginning(service: ServiceProcess) -> None:
    taken = take(12)
    with connect(service, delivery="every") as client:
        open_loop(client, FRAMES, taken, fps=240)
        assert client.in_flight == 0
    meant = [shot.meant_ns for shot in taken.shots]
    # 240 into a second is no whole number of ns; steps that added up would drift.
    assert [each - meant[0] for each in meant] == [k * 1_000_000_000 // 240 for k in range(12)]
    for shot in taken.returned:
        assert shot.timing is not None
        assert shot.submitted_ns == shot.timing.submitted_ns >= shot.meant_ns
    assert len(taken.returned) == 12


def test_a_frame_that_could_not_be_sent_counts_from_when_it_was_meant(
    service: ServiceProcess,
) -> None:
    taken = take(20)
    with connect(service, delivery="every", credits=1) as client:
        # A millionth of a second apart: no service keeps up, and every frame waits for the last.
        open_loop(client, FRAMES, taken, fps=1_000_000)
    assert len(taken.returned) == 20
    waits = [shot.timing.arrived_ns - shot.meant_ns for shot in taken.shots if shot.timing]
    assert waits == sorted(waits)
    last = taken.shots[-1]
    assert last.timing is not None
    assert waits[-1] > sum(shot.timing.upscaling_ms * 1e6 for shot in taken.shots if shot.timing)


def test_the_latest_frame_may_drop_others(service: ServiceProcess) -> None:
    taken = take(40)
    with connect(service, delivery="latest", credits=8) as client:
        open_loop(client, FRAMES, taken, fps=1_000_000)
        told = client.stats()
    assert len(taken.shots) == 40
    assert len(taken.returned) == told.frames
    assert sum(shot.dropped for shot in taken.shots) == told.dropped == 40 - told.frames


def test_the_device_alone() -> None:
    upscaler = make_filter("nearest", SIZE, Size(128, 72), PixelFormat.RGB8)
    taken = take(4)
    device_loop(upscaler, FRAMES, taken)
    assert len(taken.returned) == 4
    for shot in taken.returned:
        assert shot.timing is not None
        assert shot.timing.overhead_ms == 0
        assert shot.timing.upscaling_ms > 0


def test_pixels_are_those_of_the_source_in_turn() -> None:
    seen: list[int] = []

    class Upscaler:
        input_shape, output_shape = (36, 64, 3), (72, 128, 3)

        def __call__(self, src: Frame, dst: Frame) -> None:
            seen.append(int(src[0, 0, 0]))
            dst[...] = 0

    device_loop(Upscaler(), FRAMES, take(3))  # type: ignore[arg-type]
    assert seen == [10, 200, 10]


def test_a_limit_in_time_still_takes_the_fewest() -> None:
    upscaler = make_filter("nearest", SIZE, Size(128, 72), PixelFormat.RGB8)
    taken = take(100, until_ns=time.perf_counter_ns(), fewest=3)
    device_loop(upscaler, FRAMES, taken)
    assert len(taken.shots) == 3


def test_no_garbage_is_collected_inside() -> None:
    assert gc.isenabled()
    with without_garbage():
        assert not gc.isenabled()
        with without_garbage():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
