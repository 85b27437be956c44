"""What several commands share: options, and the check that torch is there."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from protocol.errors import EngineError

StoreFolder = Annotated[
    Path,
    typer.Option("--data", help="Store that upscaler-train prepare wrote.", metavar="DIR"),
]
PairsFolder = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Store, folder with a manifest.json, or folder of NAME_LR.png and NAME_HR.png.",
        metavar="DIR",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for what is written.", metavar="DIR")]
Checkpoint = Annotated[Path, typer.Option(help="What training left.", metavar="FILE")]
Threads = Annotated[
    int | None,
    typer.Option(help="Threads of torch; all cores by default.", min=1, max=256),
]


def prepare_torch(threads: int | None = None) -> None:
    """Raise EngineError when torch is missing, before anything that needs it loads."""
    try:
        import torch
    except ImportError as error:
        msg = f"this command needs PyTorch ({error}); pip install 'upscaler[train]'"
        raise EngineError(msg) from error
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def interrupt_noted() -> Iterator[Event]:
    """Note the first Ctrl-C, for training ends between two steps; the second ends it at once."""
    noted = Event()

    def receive(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        noted.set()

    before = signal.signal(signal.SIGINT, receive)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
