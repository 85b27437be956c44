"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_suite_that_gates_on_latency(tmp_path: Path) -> None:
    # No machine is too slow for this slack: whether it is fast is no business of a test here.
    only = "540p or game"  # the other takes as long again, and shows nothing more
    environment = {**os.environ, "LATENCY_SLACK": "1e6", "LATENCY_REPORT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(EXAMPLES / "latency"), "-k", only],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed, 1 deselected" in done.stdout
    assert (tmp_path / "540p" / "report.html").is_file()
