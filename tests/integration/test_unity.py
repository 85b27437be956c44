"""The session in C#, against a real service: it breaks when upscaler.h's structs change."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from upscaler.service.process import ServiceProcess

UNITY = Path(__file__).parents[2] / "examples" / "unity"
HEADER = Path(__file__).parents[2] / "protocol" / "c"


def test_the_session_takes_frames_there_and_back(
    c_flags: Callable[..., list[str]], service: ServiceProcess, tmp_path: Path
) -> None:
    missing = [name for name in ("mcs", "mono") if not shutil.which(name)]
    if missing:
        pytest.skip(f"no C# was run; missing: {', '.join(missing)} (apt-get install mono-mcs)")
    library, program = tmp_path / "libupscaler.so", tmp_path / "session.exe"
    source = UNITY / "upscaler_library.c"
    shared = ["cc", "-O1", "-shared", "-fPIC", f"-I{HEADER}", str(source), "-o", str(library)]
    subprocess.run([*shared, *c_flags("libzmq")], check=True)
    sources = [str(UNITY / name) for name in ("Program.cs", "UpscalerSession.cs")]
    subprocess.run(["mcs", f"-out:{program}", *sources], check=True, capture_output=True)
    done = subprocess.run(
        ["mono", str(program), service.endpoint],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "10 frames" in done.stdout
