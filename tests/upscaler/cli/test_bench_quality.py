"""`upscaler bench quality` on real frames: what it prints of the engines, and that they agree."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

ENGINES = ["onnxruntime", "openvino"]
if platform.machine().lower() in {"x86_64", "amd64"} and sys.platform == "linux":
    ENGINES.append("npu")
WIDE = {**os.environ, "COLUMNS": "200"}
NUMBER = r"([\d.]+|inf)"


@pytest.mark.slow
def test_engines_agree_on_real_frames(pairs: tuple[Path, Path]) -> None:
    root = pairs[0].parent
    entries = [
        {
            "file": f"{folder.name}/{index:03d}.png",
            "game": "openarena",
            "scene": "demo",
            "pair": f"demo/{index}",
            "role": role,
            "split": "test",
            "licence": "GPL-2.0-or-later",
        }
        for index in range(3)
        for folder, role in zip(pairs, ("x2", "hr"), strict=True)
    ]
    (root / "manifest.json").write_text(json.dumps(entries))
    engines = [part for engine in ENGINES for part in ("--engine", engine)]
    command = [sys.executable, "-m", "upscaler", "bench", "quality", "--frames", str(root)]
    done = subprocess.run(
        [*command, *engines], capture_output=True, text=True, check=False, timeout=300, env=WIDE
    )
    assert done.returncode == 0, done.stderr
    figures = rf" +{NUMBER} │ +(\d+) │ +{NUMBER} │ +([\d.]+)% │ +{NUMBER} │"
    rows = re.findall(rf"small int8 .* / .*small int8.*? +│{figures}", done.stdout)
    assert len(rows) == len(ENGINES) * (len(ENGINES) - 1) // 2
    for psnr_db, largest, mean, differing, apart_db in rows:
        assert float(psnr_db) > 50
        assert int(largest) <= 5
        assert float(mean) < 0.3
        assert float(differing) < 30
        assert float(apart_db) < 0.03
    if "npu" in ENGINES:
        assert "(npu, emulated)" in done.stdout
