"""Runs models on OpenVINO: the fast 8-bit engine on any x86 CPU.

What its CPU plugin executes for the graphs of `trainer.graph` (2026.4, from the executed graph):
uint8 NHWC convolutions (oneDNN brgconv), nothing in float. The two layout changes left in the list
are "fake": a view of the same bytes. Its depth-to-space would take 12% of the time, so the graph is
cut before it and `engines.unfold` moves the bytes. Without VNNI its convolutions add pairs of
products in 16 bits and saturate: see `models.saturation`.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from protocol.errors import EngineError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.engines.base import Facts, NetworkUpscaler, compile_failed, facts_of
from upscaler.machine import saturates_pairs
from upscaler.models.library import Model
from upscaler.models.saturation import avoid_saturation
from upscaler.models.specialise import cut_depth_to_space, specialise

if TYPE_CHECKING:
    from upscaler.engines.unfold import Unfold

NAME = "openvino"
DEVICE = "CPU"


class OpenVinoEngine:
    """OpenVINO on the CPU; `threads` None means as many as it thinks best.

    Raises EngineError when OpenVINO is not installed or finds no CPU it can use.
    """

    name = NAME
    emulated = False

    def __init__(self, *, threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError as error:
            msg = "OpenVINO is not installed; run: pip install openvino"
            raise EngineError(msg) from error
        try:
            self._core = openvino.Core()
            processor = self._core.get_property(DEVICE, "FULL_DEVICE_NAME")
        except RuntimeError as error:
            msg = f"OpenVINO finds no CPU that it can use: {error}"
            raise EngineError(msg) from error
        self.device = f"CPU: {processor}"
        self.version: str = openvino.__version__.partition("-")[0]
        # One frame at a time, as soon as possible: all threads work on it. What is not quantised
        # stays float32, where the default is bfloat16 if the CPU has it.
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            # A pinned thread waits for whoever else is busy on its core, and a game is: beside one
            # busy process 107 ms a frame against 82 ms unpinned, alone no difference (39.9, 39.6).
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads

    def load(self, model: Model, size: Size, pixel_format: PixelFormat) -> OpenVinoUpscaler:
        """Compile `model` for frames of one size and format.

        Raises BadRequestError for a size that the model cannot take, and EngineError when OpenVINO
        refuses the model.
        """
        facts = facts_of(model, size, pixel_format, engine=NAME, device=self.device)
        network = specialise(model, size, pixel_format)
        unfold = None
        if model.card.quantised:
            if saturates_pairs():
                avoid_saturation(network)
            from upscaler.engines.unfold import Unfold

            shape = cut_depth_to_space(network, channels=pixel_format.channels)
            unfold = None if shape is None else Unfold(shape)
        try:
            compiled = self._core.compile_model(
                self._core.read_model(network.SerializeToString(), b""), DEVICE, self._options
            )
            return OpenVinoUpscaler(facts, compiled, unfold)
        except RuntimeError as error:
            raise compile_failed(NAME, model, error) from error


class OpenVinoUpscaler(NetworkUpscaler):
    """A network compiled by OpenVINO, which reads the caller's memory.

    It writes there too, or, with `unfold`, beside it, whence the bytes move to their places.
    """

    def __init__(self, facts: Facts, compiled: Any, unfold: Unfold | None = None) -> None:
        super().__init__(facts)
        self._unfold = unfold
        self._compiled = compiled
        self._request = compiled.create_infer_request()

    def operations(self) -> list[tuple[str, str, str]]:
        """What is executed, constants aside: (kind, primitive, precision), in order."""
        executed = []
        for operation in self._compiled.get_runtime_model().get_ordered_ops():
            facts = operation.get_rt_info()
            kind, primitive, precision = (
                facts[key].astype(str) for key in ("layerType", "primitiveType", "runtimePrecision")
            )
            executed.append((kind, primitive, precision))
        return [operation for operation in executed if operation[0] not in ("Const", "Reshape")]

    def _infer(self, src: Frame, dst: Frame) -> None:
        self._request.set_input_tensor(_tensor(src))
        folded = dst if self._unfold is None else self._unfold.folded
        self._request.set_output_tensor(_tensor(folded))
        # Otherwise it returns a copy of the result: 6 MB and a millisecond for 1080p.
        self._request.infer(share_outputs=True)
        if self._unfold is not None:
            self._unfold(dst)

    def _release(self) -> None:
        del self._request, self._compiled


def _tensor(frame: Frame) -> Any:
    """Wrap the memory of `frame` without a copy and without a reference to it (7 us).

    A request keeps its tensors until the next call. Owning ones would keep a shared-memory slot
    open after its client has left; and OpenVINO takes no read-only array, which a received message
    is, though it only reads its inputs.
    """
    import openvino

    memory = (ctypes.c_uint8 * frame.size).from_address(frame.ctypes.data)
    pixels = np.frombuffer(memoryview(memory), np.uint8).reshape(1, *frame.shape)
    return openvino.Tensor(pixels, shared_memory=True)
