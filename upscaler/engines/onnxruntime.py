"""Runs models on the CPU provider of onnxruntime: the reference that the others are held against.

On CPUs without VNNI its 8-bit convolution would add pairs of products in 16 bits and saturate
(uint8 x int8, AVX2): the shipped networks were up to 44 levels off, and 39 dB from the emulated NPU
in place of 56. A reference has to be exact, so it is told to be: 342 ms in place of 229 for 540p to
1080p (AMD EPYC, Zen 3, no VNNI, 2 cores). OpenVINO cannot be told; see `models.saturation`.

Depth-to-space would take 7% (rgb8) to 10% (rgba8) of the time, medians of 25 pairs at 540p to 1080p
on two Zen 3 cores, so the graph is cut before it and `engines.unfold` moves the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from protocol.errors import EngineError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.engines.base import Facts, NetworkUpscaler, compile_failed, facts_of
from upscaler.machine import cpu_name
from upscaler.models.library import Model
from upscaler.models.specialise import cut_depth_to_space, specialise

if TYPE_CHECKING:
    import onnx

    from upscaler.engines.unfold import Unfold

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
        network = specialise(model, size, pixel_format)
        unfold = None
        if model.card.quantised:
            from upscaler.engines.unfold import Unfold

            shape = cut_depth_to_space(network, channels=pixel_format.channels)
            unfold = None if shape is None else Unfold(shape)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = ERRORS_ONLY
        # Idle threads would go on spinning after a frame, on cores that the game needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry(EXACT_PRODUCTS, "1")
        try:
            session = onnxruntime.InferenceSession(
                network.SerializeToString(), options, providers=[PROVIDER]
            )
            return SessionUpscaler(facts, session, unfold)
        except Exception as error:
            raise compile_failed(NAME, model, error) from error


class SessionUpscaler(NetworkUpscaler):
    """An onnxruntime session that reads the caller's memory.

    It writes there too, or, with `unfold`, beside it, whence the bytes move to their places.
    """

    def __init__(self, facts: Facts, session: Any, unfold: Unfold | None = None) -> None:
        super().__init__(facts)
        self._unfold = unfold
        self._session = session
        self._binding = session.io_binding()
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    def _infer(self, src: Frame, dst: Frame) -> None:
        binding = self._binding
        binding.bind_input(self._input, "cpu", 0, np.uint8, (1, *src.shape), src.ctypes.data)
        folded = dst if self._unfold is None else self._unfold.folded
        binding.bind_output(
            self._output, "cpu", 0, np.uint8, (1, *folded.shape), folded.ctypes.data
        )
        self._session.run_with_iobinding(binding)
        if self._unfold is not None:
            self._unfold(dst)

    def _release(self) -> None:
        # The binding refers to the session.
        del self._binding, self._session


def graph_runner(proto: onnx.ModelProto, *, threads: int) -> Callable[[], None]:
    """Compile a graph of one uint8 input of fixed shape; return what runs it once, on equal bytes.

    For benchmarks. Raises EngineError when onnxruntime is missing.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    # Its threads would go on spinning for tens of milliseconds, in what is measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=[PROVIDER])
    source = session.get_inputs()[0]
    feed = {source.name: np.full(source.shape, 201, np.uint8)}

    def run() -> None:
        session.run(None, feed)

    return run


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
