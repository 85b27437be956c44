"""What is compared: "fsr1:limiter=1.0", "quicksrnet-small@npu", "my-model.onnx@onnxruntime".

A key is a filter with its options, a network by its method, a shipped model by its name, or a model
file; behind "@" may stand the engine that runs a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.contract import Engine, Upscaler
from upscaler.engines.library import check_engine_name, select_engine
from upscaler.filters.library import FILTERS, is_filter, make_filter
from upscaler.models.library import Model, find_model, model_for, shipped


class Contestant:
    """One method on its engine; opens an upscaler for each size that comes, and keeps it."""

    def __init__(self, key: str, open_upscaler: Callable[[Size, Size], Upscaler]) -> None:
        self.key = key
        self._open = open_upscaler
        self._opened: dict[tuple[Size, Size], Upscaler] = {}

    def opened(self, size: Size, upscaled: Size) -> Upscaler:
        """Return the upscaler of bgr8 frames for one pair of sizes.

        Raises BadRequestError for sizes that the method cannot serve, and EngineError.
        """
        sizes = (size, upscaled)
        if sizes not in self._opened:
            self._opened[sizes] = self._open(size, upscaled)
        return self._opened[sizes]

    def close(self) -> None:
        """Close every upscaler that was opened. Idempotent."""
        while self._opened:
            self._opened.popitem()[1].close()


def contestants(
    keys: Sequence[str], *, engines: Sequence[str], threads: int | None
) -> list[Contestant]:
    """Return what the keys name; a network without "@" runs on each of `engines`.

    Everything is looked up now: raises BadRequestError for an unknown method, option, model or
    engine and for a key that comes twice, and EngineError for an engine that is missing.
    """
    for engine in engines:
        check_engine_name(engine)

    @cache
    def engine_called(name: str) -> Engine:
        return select_engine(name, threads=threads)

    made: list[Contestant] = []
    for key in keys:
        if is_filter(key):
            # Made once for nothing, so that a wrong option is found before an hour's work.
            make_filter(key, Size(8, 8), Size(16, 16), PixelFormat.BGR8).close()
            made.append(Contestant(key, _filter_opener(key)))
            continue
        name, at, chosen = key.rpartition("@")
        name, wanted = (name, [chosen]) if at else (key, list(engines))
        if at:
            check_engine_name(chosen)
        models = _models(name)
        for engine in wanted:
            label = f"{name}@{engine}" if len(wanted) > 1 else key
            made.append(Contestant(label, _network_opener(models, engine_called(engine))))
    labels = [each.key for each in made]
    for label in labels:
        if labels.count(label) > 1:
            msg = f"{label!r} is to be compared twice; name every method once"
            raise BadRequestError(msg, code=ErrorCode.BAD_OPTION)
    return made


def _filter_opener(key: str) -> Callable[[Size, Size], Upscaler]:
    return lambda size, upscaled: make_filter(key, size, upscaled, PixelFormat.BGR8)


def _network_opener(
    models: Callable[[Fraction], Model], engine: Engine
) -> Callable[[Size, Size], Upscaler]:
    def open_upscaler(size: Size, upscaled: Size) -> Upscaler:
        ratio = Fraction(upscaled.width, size.width)
        return engine.load(models(ratio), size, PixelFormat.BGR8)

    return open_upscaler


def _models(name: str) -> Callable[[Fraction], Model]:
    """Return the model of a name at a scale: of a method's models, or the one model."""
    if name in {model.card.method for model in shipped()}:
        return lambda scale: model_for(name, scale)
    try:
        model = find_model(name)
    except BadRequestError as error:
        if error.code is ErrorCode.UNKNOWN_MODEL and not name.endswith(".onnx"):
            networks = dict.fromkeys(model.card.method for model in shipped())
            offered = ", ".join([*networks, *FILTERS])
            msg = f"unknown method {name!r}; choose one of {offered}, a shipped model or a file"
            raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD) from error
        raise

    def only(scale: Fraction) -> Model:
        if scale != model.card.ratio:
            msg = f"{name} upscales {float(model.card.ratio):g}x, not {float(scale):g}x"
            raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
        return model

    return only
