"""Commands of `upscaler`, run in the process of the tests."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from upscaler.cli.main import app
from upscaler.cli.running import run
from upscaler.console import WIDE, console

RunHere = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run_here(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunHere]:
    """Run a command in this process: run_here("image", source, target); services are others.

    In this process, since every new one takes seconds to import what a command needs. Tables are as
    wide as in a pipe.
    """
    monkeypatch.setattr(console, "width", WIDE)

    def command(*arguments: object) -> CompletedProcess[str]:
        given = list(map(str, arguments))
        with pytest.raises(SystemExit) as ended:
            run(app, "upscaler", given)
        stdout, stderr = capfd.readouterr()
        return CompletedProcess(given, int(ended.value.code or 0), stdout, stderr)

    handler = signal.getsignal(signal.SIGTERM)
    yield command
    signal.signal(signal.SIGTERM, handler)
