"""Chooses an engine: by name, or the best that is there."""

from __future__ import annotations

from protocol.errors import BadRequestError, EngineError
from upscaler.contract import Engine
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.openvino import OpenVinoEngine
from upscaler.engines.qnn import QnnEngine, has_npu

AUTO = "auto"
ENGINES = ("npu", "openvino", "onnxruntime")


def select_engine(name: str, *, threads: int | None = None) -> Engine:
    """Return the engine called `name`, or the best one for "auto".

    "auto" takes the first that is there of a real NPU (never its emulation), OpenVINO and
    onnxruntime. An engine asked for by name is that one or an error. `threads` bounds the CPU
    threads that work on a frame; None leaves it to the runtime, and the NPU uses none.

    Raises EngineError when the engine is missing, with what to install, and BadRequestError
    (BAD_OPTION) for an unknown name or fewer than one thread.
    """
    if threads is not None and threads < 1:
        msg = f"an engine needs at least 1 thread, not {threads}"
        raise BadRequestError(msg)
    check_engine_name(name)
    match name:
        case "npu":
            return QnnEngine()
        case "openvino":
            return OpenVinoEngine(threads=threads)
        case "onnxruntime":
            return OnnxRuntimeEngine(threads=threads)
        case _:
            return _best(threads)


def check_engine_name(name: str) -> None:
    """Raise BadRequestError unless an engine is called `name`; loads no library."""
    if name not in (AUTO, *ENGINES):
        msg = f"unknown engine {name!r}; choose one of {', '.join((AUTO, *ENGINES))}"
        raise BadRequestError(msg)


def _best(threads: int | None) -> Engine:
    if has_npu():
        return QnnEngine()
    try:
        return OpenVinoEngine(threads=threads)
    except EngineError:
        return OnnxRuntimeEngine(threads=threads)
