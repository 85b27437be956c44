"""The clients of this repository pass every case of the kit."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from upscaler.conformance.case import Ended, Status
from upscaler.conformance.link import ProcessLink
from upscaler.conformance.run import CASES, run_cases

Run = tuple[str, list[Ended]]
C_DRIVER = Path(__file__).parents[3] / "protocol" / "c" / "conformance_driver.c"


@pytest.fixture(scope="module")
def runners() -> Iterator[ThreadPoolExecutor]:
    """Both clients run through the kit at once: most of it is waiting.

    Each has a service of its own, for some cases look at what else is there.
    """
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def python_run(runners: ThreadPoolExecutor) -> Future[Run]:
    """The Python client's, begun."""
    return begun(runners, [sys.executable, "-m", "upscaler.conformance.driver"])


@pytest.fixture(scope="module")
def c_run(
    runners: ThreadPoolExecutor, tmp_path_factory: pytest.TempPathFactory
) -> Future[Run] | str:
    """The C client's, begun; or why it cannot be compiled."""
    missing = [name for name in ("cc", "pkg-config") if not shutil.which(name)]
    if not missing and subprocess.run(["pkg-config", "--exists", "libzmq"], check=False).returncode:
        missing = ["libzmq (apt-get install libzmq3-dev)"]
    if missing:
        return f"the C driver was not compiled; missing: {', '.join(missing)}"
    asked = ["pkg-config", "--cflags", "--libs", "libzmq"]
    flags = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    driver = tmp_path_factory.mktemp("c") / "driver"
    command = ["cc", "-std=c99", "-O1", "-Wall", "-Werror", str(C_DRIVER), "-o", str(driver)]
    subprocess.run([*command, *flags], check=True)
    return begun(runners, [str(driver)])


def begun(runners: ThreadPoolExecutor, driver: list[str]) -> Future[Run]:
    link = ProcessLink(shlex.join(driver))
    return runners.submit(run_cases, link, CASES)


def passed_all(run: Run) -> str:
    """The client's name."""
    name, ended = run
    wrong = {
        each.case.name: (each.expected, each.came)
        for each in ended
        if each.status is not Status.PASSED
    }
    assert not wrong
    assert len(ended) == len(CASES)
    return name


@pytest.mark.usefixtures("c_run")
def test_the_python_client_passes(python_run: Future[Run]) -> None:
    assert passed_all(python_run.result()) == "python"


def test_the_c_client_passes(c_run: Future[Run] | str) -> None:
    if isinstance(c_run, str):
        if os.environ.get("CI_COMPILER") == "1":
            pytest.fail(c_run)
        pytest.skip(c_run)
    assert passed_all(c_run.result()) == "upscaler.h"
