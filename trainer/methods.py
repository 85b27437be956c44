"""What can be evaluated: a filter, a model on an engine, or a checkpoint of a training run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from protocol.frames import PixelFormat, Size, upscaled_size
from upscaler.contract import Frame, Upscaler
from upscaler.engines.library import select_engine
from upscaler.filters.library import check_filter_name, make_filter
from upscaler.machine import cpu_name
from upscaler.models.library import Model

Upscale = Callable[[Frame], Frame]
"""From (H, W, 3) uint8 RGB to (scale H, scale W, 3) uint8 RGB, a new array."""


class AnySize:
    """An `Upscale` from a way to open an `Upscaler` for one size; frames may differ in size.

    Keeps one upscaler for each size until closed.
    """

    def __init__(self, open_upscaler: Callable[[Size], Upscaler]) -> None:
        self._open = open_upscaler
        self._opened: dict[Size, Upscaler] = {}
        self._stack = ExitStack()

    def __call__(self, frame: Frame) -> Frame:
        """Upscale into a new array."""
        size = Size(frame.shape[1], frame.shape[0])
        if size not in self._opened:
            self._opened[size] = self._open(size)
            self._stack.callback(self._opened[size].close)
        upscaler = self._opened[size]
        upscaled = np.empty(upscaler.output_shape, np.uint8)
        upscaler(frame, upscaled)
        return upscaled

    def close(self) -> None:
        """Close every upscaler that was opened."""
        self._stack.close()
        self._opened.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An `Upscale` that says what it is, and closes at the end of a `with` block.

    `kind` is "filter", "int8" or "float32"; `emulated` means that the right results came from
    another processor than the engine is for.
    """

    name: str
    kind: str
    engine: str
    device: str
    emulated: bool
    upscale: Upscale
    close: Callable[[], None]

    @property
    def label(self) -> str:
        """Name, number type and engine, such as "quicksrnet-small-x2 (int8, openvino)"."""
        return self.name if self.kind == "filter" else f"{self.name} ({self.runs})"

    @property
    def runs(self) -> str:
        """How it runs, such as "filter" or "int8, npu, emulated"."""
        if self.kind == "filter":
            return self.kind
        return ", ".join([self.kind, self.engine, *(["emulated"] if self.emulated else [])])

    def __call__(self, frame: Frame) -> Frame:
        """Upscale (H, W, 3) uint8 RGB into a new array."""
        return self.upscale(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def filter_method(name: str, scale: Fraction) -> Method:
    """Make a classical filter, such as "bicubic".

    Raises BadRequestError (UNKNOWN_METHOD) for an unknown one.
    """
    check_filter_name(name)

    def open_filter(size: Size) -> Upscaler:
        return make_filter(name, size, upscaled_size(size, scale), PixelFormat.RGB8)

    upscale = AnySize(open_filter)
    return Method(
        name=name,
        kind="filter",
        engine="cpu",
        device=f"CPU: {cpu_name()}",
        emulated=False,
        upscale=upscale,
        close=upscale.close,
    )


def model_method(
    model: Model, engine_name: str, *, name: str = "", threads: int | None = None
) -> Method:
    """Make `model`, called `name` or what its card says, on an engine or "auto".

    Raises BadRequestError for an unknown engine, EngineError for one that is missing. Calls raise
    EngineError for a model that the engine cannot run.
    """
    engine = select_engine(engine_name, threads=threads)
    upscale = AnySize(lambda size: engine.load(model, size, PixelFormat.RGB8))
    return Method(
        name=name or model.card.name,
        kind="int8" if model.card.quantised else "float32",
        engine=engine.name,
        device=engine.device,
        emulated=engine.emulated,
        upscale=upscale,
        close=upscale.close,
    )


def checkpoint_method(path: Path) -> tuple[Method, Fraction]:
    """Make the network of a training run's checkpoint, run by torch on the CPU, and its scale.

    Needs torch. Raises BadRequestError when the file holds no network.
    """
    from trainer.checkpoint import load_checkpoint
    from trainer.quantise import run_network

    network = load_checkpoint(path).network

    def upscale(frame: Frame) -> Frame:
        # A copy: frames of a store are read-only, and torch warns of these.
        return run_network(network, frame.copy())

    method = Method(
        name=str(path),
        kind="float32",
        engine="torch",
        device=f"CPU: {cpu_name()}",
        emulated=False,
        upscale=upscale,
        close=lambda: None,
    )
    return method, network.architecture.scale
