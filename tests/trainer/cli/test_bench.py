from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_it_prints_each_precision_and_the_share_of_the_data(
    train_here: Callable, store_x2: Path
) -> None:
    small = ["--architecture", "f8-m1", "--batch", "2", "--patch", "16", "--threads", "1"]
    done = train_here("bench", "--data", store_x2, *small, "--rounds", "1", "--steps", "2")
    assert done.returncode == 0, done.stderr
    for word in ("f8-m1 2x", "float32", "bfloat16", "network"):
        assert word in done.stdout


def test_an_unknown_device_is_one_line(assert_refused: Callable, store_x2: Path) -> None:
    assert_refused(["bench", "--data", store_x2, "--device", "npu"], "unknown device 'npu'")
