"""The two contracts that everything else is written against.

An `Upscaler` is made for one method, scale, input size and pixel format. Networks and classical
filters are the same thing to the service, the command line and the benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size

if TYPE_CHECKING:
    from upscaler.models.library import Model

Frame = NDArray[np.uint8]
"""(height, width, channels) uint8; channels in the order of the pixel format."""


class Upscaler(Protocol):
    """Upscales frames of one size and format by one method."""

    @property
    def name(self) -> str:
        """Method, such as "fsr1" or "quicksrnet-small"."""

    @property
    def engine(self) -> str:
        """What runs it, such as "openvino", or "numba" for a compiled filter."""

    @property
    def device(self) -> str:
        """The processor in words, such as "CPU: AMD EPYC"."""

    @property
    def emulated(self) -> bool:
        """Whether another processor is imitated: right results, meaningless times."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of `src`: (height, width, channels)."""

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape of `dst`: (height, width, channels)."""

    def __call__(self, src: Frame, dst: Frame) -> None:
        """Upscale `src` into `dst`.

        Both belong to the caller, are C-contiguous uint8 of the two shapes and are kept by nobody
        after the call. Allocates no frame. Not reentrant: one call at a time for each instance.
        """

    def close(self) -> None:
        """Release what the runtime holds. Idempotent."""


class Engine(Protocol):
    """Turns a model and a size into an `Upscaler`."""

    @property
    def name(self) -> str:
        """Name as users choose it: "npu", "openvino" or "onnxruntime"."""

    @property
    def device(self) -> str:
        """The processor in words."""

    @property
    def emulated(self) -> bool:
        """Whether that processor is imitated."""

    @property
    def version(self) -> str:
        """Version of the runtime library."""

    def load(self, model: Model, size: Size, pixel_format: PixelFormat) -> Upscaler:
        """Compile `model` for frames of one size and format.

        Raises BadRequestError for a size that the model cannot take, and EngineError when the
        runtime refuses the model.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks for: enough to make an `Upscaler`."""

    method: str
    size: Size
    scale: Fraction
    pixel_format: PixelFormat
    sharpness_stops: float = 0.2


def check_frames(upscaler: Upscaler, src: Frame, dst: Frame) -> None:
    """Raise BadRequestError (PIXELS_MISMATCH) unless both arrays suit the upscaler.

    Compiled code reads and writes through raw addresses: another shape would be memory corruption.
    """
    _check_frame(src, upscaler.input_shape, "source")
    _check_frame(dst, upscaler.output_shape, "result")
    if not dst.flags.writeable:
        msg = "the result cannot be written to read-only memory; pass a writable array"
        raise BadRequestError(msg, code=ErrorCode.PIXELS_MISMATCH)


def _check_frame(frame: Frame, shape: tuple[int, int, int], what: str) -> None:
    if frame.shape == shape and frame.dtype == np.uint8 and frame.flags.c_contiguous:
        return
    layout = "" if frame.flags.c_contiguous else ", not C-contiguous"
    msg = (
        f"the {what} must be a C-contiguous uint8 array of shape {shape}, not {frame.dtype} "
        f"{frame.shape}{layout}"
    )
    raise BadRequestError(msg, code=ErrorCode.PIXELS_MISMATCH)
