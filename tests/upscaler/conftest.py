"""Folders of real frames: parts of the demo's game clip and of its native render."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscaler.images import read_image, write_image

CLIP = Path(__file__).parents[2] / "upscaler" / "demo" / "clip"
PARTS = ((100, 60), (300, 200), (500, 320))


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders, low/ with three frames of 80x48 and high/ with native renders of 160x96."""
    low, high = read_image(CLIP / "low.webp"), read_image(CLIP / "native.webp")
    for index, (x, y) in enumerate(PARTS):
        for name, picture, scale in (("low", low, 1), ("high", high, 2)):
            part = picture[y * scale : (y + 48) * scale, x * scale : (x + 80) * scale]
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            write_image(folder / f"{index:03d}.png", part)
    return tmp_path / "low", tmp_path / "high"
