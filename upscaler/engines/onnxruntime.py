"""Runs models on the CPU provider of onnxruntime: the reference that the others are held against.

On CPUs without VNNI its 8-bit convolution would add pairs of products in 16 bits and saturate
(uint8 x int8, AVX2): the shipped networks were up to 44 levels off, and 39 dB from the emulated NPU
in place of 56. So it is told to be exact there: 342 ms in place of 229 for 540p to 1080p (AMD EPYC,
Zen 3, no VNNI, 2 cores).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from protocol.errors import EngineError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.engines.base import Facts, NetworkUpscaler, compile_failed, facts_of
from upscaler.machine import cpu_name
from upscaler.models.library import Model
from upscaler.models.specialise import specialise

NAME = "onnxruntime"
PROVIDER = "CPUExecutionProvider"
ERRORS_ONLY = 3
EXACT_PRODUCTS = "session.x64quantprecision"
"""Takes uint8 weights on CPUs without VNNI, whose sums do not saturate; no difference on others."""


class OnnxRuntimeEngine:
    """onnxruntime on the CPU; `threads` None means one for each core.

    Raises EngineError when onnxruntime is not installed.
    """

    name = NAME
    emulated = False

    def __init__(self, *, threads: int | None = None) -> None:
        onnxruntime = import_onnxruntime()
        self.device = f"CPU: {cpu_name()}"
        self.version: str = onnxruntime.__version__
        self._threads = threads or 0

    def load(self, model: Model, size: Size, pixel_format: PixelFormat) -> SessionUpscaler:
        """Compile `model` for frames of one size and format.

        Raises BadRequestError for a size that the model cannot take, and EngineError when
        onnxruntime refuses the model.
        """
        onnxruntime = import_onnxruntime()
        facts = facts_of(model, size, pixel_format, engine=NAME, device=self.device)
        network = specialise(model, size, pixel_format).SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = ERRORS_ONLY
        # Idle threads would go on spinning after a frame, on cores that the game needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry(EXACT_PRODUCTS, "1")
        try:
            session = onnxruntime.InferenceSession(network, options, providers=[PROVIDER])
            return SessionUpscaler(facts, session)
        except Exception as error:
            raise compile_failed(NAME, model, error) from error


class SessionUpscaler(NetworkUpscaler):
    """An onnxruntime session that reads and writes the caller's memory."""

    def __init__(self, facts: Facts, session: Any) -> None:
        super().__init__(facts)
        self._session = session
        self._binding = session.io_binding()
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    def _infer(self, src: Frame, dst: Frame) -> None:
        binding = self._binding
        binding.bind_input(self._input, "cpu", 0, np.uint8, (1, *src.shape), src.ctypes.data)
        binding.bind_output(self._output, "cpu", 0, np.uint8, (1, *dst.shape), dst.ctypes.data)
        self._session.run_with_iobinding(binding)

    def _release(self) -> None:
        # The binding refers to the session.
        del self._binding, self._session


def import_onnxruntime() -> Any:
    """Return the onnxruntime package.

    Raises EngineError when it is missing, or damaged by another package of the same name.
    """
    try:
        import onnxruntime
    except ImportError as error:
        msg = "onnxruntime is not installed; run: pip install onnxruntime"
        raise EngineError(msg) from error
    return onnxruntime
