"""Chooses an engine: by name, or the best that is there."""

from __future__ import annotations

from protocol.errors import BadRequestError, EngineError
from upscaler.contract import Engine
from upscaler.engines.npu_options import NpuSettings
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.openvino import OpenVinoEngine
from upscaler.engines.qnn import QnnEngine, has_npu

AUTO, NPU = "auto", "npu"
ENGINES = (NPU, "openvino", "onnxruntime")


def select_engine(
    name: str, *, threads: int | None = None, npu: NpuSettings | None = None
) -> Engine:
    """Return the engine called `name`, or the best one for "auto".

    "auto" takes the first that is there of a real NPU (never its emulation), OpenVINO and
    onnxruntime. An engine asked for by name is that one or an error. `threads` bounds the CPU
    threads that work on a frame; None leaves it to the runtime, and the NPU uses none. `npu` is
    for the NPU: what a user asked for there is an error when it is another engine.

    Raises EngineError when the engine is missing, with what to install, and BadRequestError
    (BAD_OPTION) for an unknown name, fewer than one thread, or settings of another engine.
    """
    if threads is not None and threads < 1:
        msg = f"an engine needs at least 1 thread, not {threads}"
        raise BadRequestError(msg)
    check_engine_name(name)
    if name == AUTO and npu is not None and npu.asked and not has_npu():
        msg = (
            "--npu and --context are for the NPU, and there is none here; leave them out, or add "
            "--engine npu to emulate one where that can be done"
        )
        raise BadRequestError(msg)
    if name not in (AUTO, NPU) and npu is not None and npu.asked:
        msg = f"--npu and --context are for the NPU, and the engine is {name}; use --engine npu"
        raise BadRequestError(msg)
    match name:
        case "npu":
            return QnnEngine(npu)
        case "openvino":
            return OpenVinoEngine(threads=threads)
        case "onnxruntime":
            return OnnxRuntimeEngine(threads=threads)
        case _:
            return _best(threads, npu)


def check_engine_name(name: str) -> None:
    """Raise BadRequestError unless an engine is called `name`; loads no library."""
    if name not in (AUTO, *ENGINES):
        msg = f"unknown engine {name!r}; choose one of {', '.join((AUTO, *ENGINES))}"
        raise BadRequestError(msg)


def _best(threads: int | None, npu: NpuSettings | None) -> Engine:
    if has_npu():
        return QnnEngine(npu)
    try:
        return OpenVinoEngine(threads=threads)
    except EngineError:
        return OnnxRuntimeEngine(threads=threads)
