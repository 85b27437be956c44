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
