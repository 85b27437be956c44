"""The clients of this repository pass every case of the kit."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
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
    runners: ThreadPoolExecutor,
    c_flags: Callable[..., list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Future[Run]:
    """The C client's, begun."""
    flags = c_flags("libzmq")
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


# First, since it is skipped where there is no compiler, and has the other client begin before it.
@pytest.mark.usefixtures("python_run")
def test_the_c_client_passes(c_run: Future[Run]) -> None:
    assert passed_all(c_run.result()) == "upscaler.h"


def test_the_python_client_passes(python_run: Future[Run]) -> None:
    assert passed_all(python_run.result()) == "python"
