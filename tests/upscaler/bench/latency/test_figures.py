from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from upscaler.bench.latency.figures import Palette, draw_growth, draw_run, draw_target
from upscaler.bench.latency.results import Measured, Run
from upscaler.images import read_image

MakeMeasured = Callable[..., Measured]
MakeRun = Callable[..., Run]


def test_growth_and_frames(tmp_path: Path, make_measured: MakeMeasured) -> None:
    random = np.random.default_rng(1)
    combinations = [
        make_measured(slow * random.gamma(20, 0.4, 60), target=target, method=method)
        for target in ("540p", "1080p", "2160p")
        for method, slow in (("fsr1", 1.0), ("quicksrnet-small", 100.0))
    ]
    palette = Palette(combinations)
    draw_growth(tmp_path / "growth.png", combinations, palette)
    draw_target(tmp_path / "target.png", combinations[:2], palette)
    for name in ("growth.png", "target.png"):
        picture = read_image(tmp_path / name)
        assert picture.shape[1] > 1000
        assert np.ptp(picture[..., :3], axis=2).max() > 100  # lines in colour, on white
        assert (picture == 255).mean() > 0.5


def test_one_frame_is_drawn(tmp_path: Path, make_measured: MakeMeasured, make_run: MakeRun) -> None:
    run = make_run(make_measured([5.0]), make_measured([], method="bicubic", status="failed"))
    assert draw_run(tmp_path, run) == {"1080p": "frames_1080p.png"}


def test_without_frames_there_is_no_picture(
    tmp_path: Path, make_measured: MakeMeasured, make_run: MakeRun
) -> None:
    assert draw_run(tmp_path, make_run(make_measured([], status="failed"))) == {}
    assert list(tmp_path.iterdir()) == []
