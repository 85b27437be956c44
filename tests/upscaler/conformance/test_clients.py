"""The clients of this repository pass every case of the kit."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from upscaler.conformance.case import Status
from upscaler.conformance.link import ProcessLink
from upscaler.conformance.run import CASES, run_cases
from upscaler.service.process import ServiceProcess

C_DRIVER = Path(__file__).parents[3] / "protocol" / "c" / "conformance_driver.c"


def passes_everything(driver: list[str], service: ServiceProcess) -> str:
    """Run all cases and return the client's name."""
    name, ended = run_cases(ProcessLink(shlex.join(driver)), CASES, service=service)
    wrong = {
        each.case.name: (each.expected, each.came)
        for each in ended
        if each.status is not Status.PASSED
    }
    assert not wrong
    assert len(ended) == len(CASES)
    return name


def test_the_python_client_passes(service: ServiceProcess) -> None:
    driver = [sys.executable, "-m", "upscaler.conformance.driver"]
    assert passes_everything(driver, service) == "python"


def test_the_c_client_passes(service: ServiceProcess, tmp_path: Path) -> None:
    missing = [name for name in ("cc", "pkg-config") if not shutil.which(name)]
    if not missing and subprocess.run(["pkg-config", "--exists", "libzmq"], check=False).returncode:
        missing = ["libzmq (apt-get install libzmq3-dev)"]
    if missing:
        reason = f"the C driver was not compiled; missing: {', '.join(missing)}"
        if os.environ.get("CI_COMPILER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    asked = ["pkg-config", "--cflags", "--libs", "libzmq"]
    flags = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    driver = tmp_path / "driver"
    command = ["cc", "-std=c99", "-O1", "-Wall", "-Werror", str(C_DRIVER), "-o", str(driver)]
    subprocess.run([*command, *flags], check=True)
    assert passes_everything([str(driver)], service) == "upscaler.h"
