from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import BadRequestError
from upscaler.bench.latency.options import Options
from upscaler.bench.latency.plan import make_plan


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fps": 0.0}, "a rate of 0 frames a second"),
        ({"fps": 1001.0}, "a rate of 1001 frames a second"),
        ({"fps": 60.0, "device_only": True}, "the device alone has no rate"),
        ({"frames": 0}, "0 frames in 240 s"),
        ({"rounds": 0}, "300 frames in 240 s and 0 rounds cannot be"),
        ({"seconds": 0.0}, "300 frames in 0 s"),
        ({"pixel_format": "yuv"}, "unknown pixel format 'yuv'"),
        ({"transport": "pigeon"}, "unknown transport 'pigeon'; choose shm or inline"),
        ({"delivery": "some"}, "unknown delivery 'some'; choose every or latest"),
    ],
)
def test_options_that_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        Options(**given)


def test_the_service_is_started_for_what_is_measured() -> None:
    options = Options(engine="onnxruntime", threads=1)
    methods = "fsr1:denoise,fsr1,quicksrnet-small"
    plan = make_plan(["128x72"], ["2"], [methods], options.catalogue())
    assert options.service_arguments(plan) == [
        *("--engine", "onnxruntime", "--threads", "1"),
        *("--method", "fsr1", "--method", "quicksrnet-small"),
    ]


@pytest.mark.parametrize(
    ("frames", "rounds", "split"),
    [(300, 3, [100, 100, 100]), (11, 3, [4, 4, 3]), (2, 3, [1, 1]), (7, 1, [7])],
)
def test_frames_are_split_between_rounds(frames: int, rounds: int, split: list[int]) -> None:
    assert Options(frames=frames, rounds=rounds).frames_of_rounds == split
