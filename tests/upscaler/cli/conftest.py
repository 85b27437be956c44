"""Commands of `upscaler`, run in the process of the tests."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from functools import partial
from subprocess import CompletedProcess

import pytest

from upscaler.cli.main import app
from upscaler.cli.running import run
from upscaler.console import WIDE, console

RunHere = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run_here(call_here: RunHere, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunHere]:
    """Run a command in this process: run_here("image", source, target); services are others.

    Tables are as wide as in a pipe.
    """
    monkeypatch.setattr(console, "width", WIDE)
    handler = signal.getsignal(signal.SIGTERM)
    yield partial(call_here, partial(run, app, "upscaler"))
    signal.signal(signal.SIGTERM, handler)
