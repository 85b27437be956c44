"""What the upscalers of all engines share: the contract's facts, and the check of a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from protocol.errors import EngineError, ErrorCode
from protocol.frames import PixelFormat, Size, upscaled_size
from upscaler.contract import Frame, check_frames
from upscaler.models.library import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an `Upscaler` says of itself. Shapes are (height, width, channels)."""

    name: str
    engine: str
    device: str
    emulated: bool
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]


def facts_of(
    model: Model,
    size: Size,
    pixel_format: PixelFormat,
    *,
    engine: str,
    device: str,
    emulated: bool = False,
) -> Facts:
    """Facts of `model` made for input frames of `size`.

    Raises BadRequestError (UNSUPPORTED_SIZE) for a size outside the limits.
    """
    return Facts(
        name=model.card.method,
        engine=engine,
        device=device,
        emulated=emulated,
        input_shape=size.shape(pixel_format),
        output_shape=upscaled_size(size, model.card.ratio).shape(pixel_format),
    )


class NetworkUpscaler(ABC):
    """A compiled network. Subclasses run it on two frames that have been checked.

    Runtimes write through raw addresses: a frame of another shape would be memory corruption, so
    the check is made on every call (1.3 us).
    """

    def __init__(self, facts: Facts) -> None:
        self.name = facts.name
        self.engine = facts.engine
        self.device = facts.device
        self.emulated = facts.emulated
        self.input_shape = facts.input_shape
        self.output_shape = facts.output_shape
        self._closed = False

    def __call__(self, src: Frame, dst: Frame) -> None:
        """Upscale `src` into `dst`: C-contiguous uint8 of `input_shape` and `output_shape`.

        Both stay the caller's; nothing refers to them afterwards. The runtime lets go of the GIL
        while it computes. Raises BadRequestError (PIXELS_MISMATCH) for other arrays, EngineError
        when closed or when the runtime fails.
        """
        if self._closed:
            msg = f"this {self.name} upscaler is closed; load the model again"
            raise EngineError(msg)
        check_frames(self, src, dst)
        try:
            self._infer(src, dst)
        except Exception as error:
            msg = f"{self.engine} failed on a frame: {error}"
            raise EngineError(msg, code=ErrorCode.INTERNAL) from error

    def close(self) -> None:
        """Release what the runtime holds. Idempotent."""
        if not self._closed:
            self._closed = True
            self._release()

    @abstractmethod
    def _infer(self, src: Frame, dst: Frame) -> None:
        """Run the network from `src` into `dst`, and keep no reference to either."""

    @abstractmethod
    def _release(self) -> None:
        """Drop the runtime's objects; called once."""


def compile_failed(engine: str, model: Model, error: Exception) -> EngineError:
    """The error for a model that the runtime refuses."""
    msg = f"{engine} cannot run {model.card.name}: {error}"
    return EngineError(msg)
