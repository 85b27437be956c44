from __future__ import annotations

from protocol.frames import Size
from upscaler.live.shot import Shot


def test_a_shot_knows_its_size(shot: Shot) -> None:
    assert shot.size == Size(64, 36)
    assert shot.results == {}
