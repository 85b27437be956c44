"""Which methods there are, and how a request becomes an `Upscaler`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size, upscaled_size
from upscaler.contract import Engine, Request, Upscaler
from upscaler.engines.library import check_engine_name, select_engine
from upscaler.engines.npu_options import NpuSettings
from upscaler.engines.reuse import check_reusable, load_reusing
from upscaler.filters.library import FILTERS, SHARPENED, is_filter, make_filter
from upscaler.filters.options import DEFAULT_SHARPNESS_STOPS, check_no_options, split_method
from upscaler.models.library import Model, find_model, shipped

TRIAL_SIZE = Size(48, 48)
"""A multiple of whatever cell a network has, and quick to compile."""


class Catalogue:
    """Networks on one engine, given by name or ready made, and the filters.

    `models` are names or files; none means the shipped quantised ones. `methods` restricts what is
    offered and puts its first member forward as the default. With `reuse` networks compute what
    changed since the frame before, see `engines.reuse`; float models are then refused. `npu` is for
    an engine by name.
    """

    def __init__(
        self,
        *,
        engine: str | Engine = "auto",
        models: Sequence[str] = (),
        methods: Sequence[str] = (),
        threads: int | None = None,
        reuse: bool = False,
        npu: NpuSettings | None = None,
    ) -> None:
        if isinstance(engine, str):
            check_engine_name(engine)
        self._engine = engine
        self._threads = threads
        self._reuse = reuse
        self._npu = npu
        chosen = [find_model(model) for model in models] or _shipped_by_cost()
        if reuse:
            for model in chosen:
                check_reusable(model)
        self._models: dict[tuple[str, Fraction], Model] = {
            (model.card.method, model.card.ratio): model for model in chosen
        }
        networks = list(dict.fromkeys(model.card.method for model in chosen))
        self.methods: list[str] = [*networks, *FILTERS]
        for method in methods:
            self._check_method(method)
        self.methods = list(dict.fromkeys(methods)) or self.methods

    @cached_property
    def engine(self) -> Engine:
        """What runs the networks; selected when first needed.

        Raises EngineError when an engine that was asked for by name is missing.
        """
        if isinstance(self._engine, str):
            return select_engine(self._engine, threads=self._threads, npu=self._npu)
        return self._engine

    @property
    def networks(self) -> list[Model]:
        """Models of the methods on offer."""
        return [model for model in self._models.values() if model.card.method in self.methods]

    @property
    def needs_engine(self) -> bool:
        """Whether any method on offer is a network."""
        return bool(self.networks)

    def normalised(self, request: Request) -> Request:
        """Fill in the default method, and forget options that the method does not have.

        Requests that mean the same are then equal, and share one upscaler.
        """
        method = request.method or self.methods[0]
        if method.partition(":")[0] == SHARPENED:
            return replace(request, method=method)
        return replace(request, method=method, sharpness_stops=DEFAULT_SHARPNESS_STOPS)

    def open(self, request: Request) -> Upscaler:
        """Make the upscaler for a request; an empty method means the default.

        A filter may carry options, as in "fsr1:denoise". Raises BadRequestError for an unknown
        method or option, a scale without a model or a size that
        cannot be served, and EngineError when the engine fails.
        """
        method = request.method or self.methods[0]
        self._check_method(method)
        upscaled = upscaled_size(request.size, request.scale)
        if is_filter(method):
            return make_filter(
                method,
                request.size,
                upscaled,
                request.pixel_format,
                sharpness_stops=request.sharpness_stops,
            )
        method, options = split_method(method)
        check_no_options(method, options)
        model = self._models.get((method, request.scale))
        if model is None:
            scales = sorted(scale for name, scale in self._models if name == method)
            offered = ", ".join(f"{float(scale):g}x" for scale in scales)
            wanted = f"{float(request.scale):g}x"
            msg = f"{method} has no model for {wanted}; it has {offered}"
            raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
        return self.load(model, request)

    def load(self, model: Model, request: Request) -> Upscaler:
        """Make the upscaler for a request with a given model."""
        if self._reuse:
            return load_reusing(self.engine, model, request.size, request.pixel_format)
        return self.engine.load(model, request.size, request.pixel_format)

    def concerns(self, model: Model, request: Request) -> bool:
        """Whether `model` is what would serve the request, were it in the catalogue."""
        method = request.method or self.methods[0]
        return (split_method(method)[0], request.scale) == (model.card.method, model.card.ratio)

    def check_offered(self, model: Model) -> None:
        """Raise BadRequestError (UNKNOWN_METHOD) unless a method of the catalogue is the model's.

        A catalogue keeps its methods: clients were told of them.
        """
        if model.card.method not in self.methods:
            msg = f"{model.card.name} is for {model.card.method!r}, which is not offered here"
            raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD)

    def try_out(self, model: Model) -> None:
        """Raise what the engine raises if it cannot run a model at all.

        Contexts that were compiled ahead are for sizes of their own, which decide.
        """
        if self._reuse:
            check_reusable(model)
        if self._npu is None or self._npu.contexts is None:
            self.engine.load(model, TRIAL_SIZE, PixelFormat.RGB8).close()

    def replace(self, model: Model) -> None:
        """Put a model into the place of the one with its method and scale, if there is one."""
        self._models[model.card.method, model.card.ratio] = model

    def _check_method(self, method: str) -> None:
        if method.partition(":")[0] not in self.methods:
            msg = f"unknown method {method!r}; choose one of {', '.join(self.methods)}"
            raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD)


def _shipped_by_cost() -> list[Model]:
    """The shipped quantised models, the cheapest network first: it is the default method."""
    models = [model for model in shipped() if model.card.quantised]
    return sorted(models, key=lambda model: model.card.depth * model.card.width**2)
