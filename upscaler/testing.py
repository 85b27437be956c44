"""Shipped stand-ins for tests, here and in programs that use the service.

Real implementations of the contracts that need no vendor library, no model file and no luck.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from protocol.errors import ServiceError
from protocol.frames import PixelFormat, Size
from upscaler.contract import Frame
from upscaler.engines.base import Facts, NetworkUpscaler, facts_of
from upscaler.models.card import ModelCard
from upscaler.models.library import Model

if TYPE_CHECKING:
    from upscaler.bench.latency.results import Run

NAME = "fake"
RGB = 3

Hook = Callable[[Frame, Frame], None]
"""Called with (src, dst) before each frame: to count, to wait for an event, or to raise."""


class FakeEngine:
    """An engine that repeats pixels instead of running the network.

    Deterministic, exact and instant; `before_frame` makes it as slow or as broken as a test needs.
    """

    name = NAME
    device = "CPU: none in particular"
    emulated = False
    version = "0"

    def __init__(self, before_frame: Hook | None = None) -> None:
        self._before_frame = before_frame

    def load(self, model: Model, size: Size, pixel_format: PixelFormat) -> FakeUpscaler:
        """Return a nearest-neighbour upscaler of the model's method and scale.

        Raises BadRequestError (UNSUPPORTED_SIZE) for a size that the scale cannot take.
        """
        facts = facts_of(model, size, pixel_format, engine=NAME, device=self.device)
        return FakeUpscaler(facts, self._before_frame)


class FakeUpscaler(NetworkUpscaler):
    """Nearest neighbour: output row y shows input row floor(y / scale), columns likewise."""

    def __init__(self, facts: Facts, before_frame: Hook | None) -> None:
        super().__init__(facts)
        self._before_frame = before_frame

    def _infer(self, src: Frame, dst: Frame) -> None:
        if self._before_frame is not None:
            self._before_frame(src, dst)
        rows, columns = (
            np.arange(large) * small // large
            for small, large in zip(src.shape[:2], dst.shape[:2], strict=True)
        )
        dst[...] = src[rows[:, None], columns]

    def _release(self) -> None:
        pass


def near_identity_weights(
    scale: Fraction,
    *,
    width: int = 32,
    depth: int = 2,
    noise: float = 0.03,
    seed: int = 0,
    pooled: bool = False,
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weights of an untrained QuickSRNet: nearest neighbour plus noise, so results look real.

    One (weight, bias) for each convolution, float32, weight (out, in, k, k); channels in PyTorch's
    order, as `trainer.graph` takes them. `noise` is the standard deviation of a weight. At 1.5x
    `pooled` makes the naive head, whose last layer sees single pixels.
    """
    random = np.random.default_rng(seed)
    block, upsampling = 1 if pooled else scale.denominator, scale.numerator
    kernel = 1 if block > 1 else 3
    shapes = [(width, RGB, 3, 3), *[(width, width, 3, 3)] * depth]
    shapes.append((RGB * upsampling**2, width * block**2, kernel, kernel))
    layers = []
    for shape in shapes:
        weight = random.normal(0, noise, shape).astype(np.float32)
        layers.append((weight, random.normal(0, noise / 3, shape[0]).astype(np.float32)))
    for weight, _ in layers[:-1]:
        for channel in range(min(weight.shape[:2])):
            weight[channel, channel, 1, 1] += 1
    last = layers[-1][0]
    for colour, y, x in np.ndindex(RGB, upsampling, upsampling):
        out = (colour * upsampling + y) * upsampling + x
        source = (colour * block + y * block // upsampling) * block + x * block // upsampling
        last[out, source, kernel // 2, kernel // 2] += 1
    return layers


def example_card(scale: Fraction, *, weights_sha256: str, quantised: bool = True) -> ModelCard:
    """Card of a QuickSRNet Small with such weights: named after its scale, measured nowhere."""
    kind = "w8a8" if quantised else "float"
    return ModelCard(
        name=f"example-{scale.numerator}-{scale.denominator}-{kind}",
        method="quicksrnet-small",
        architecture="QuickSRNet",
        width=32,
        depth=2,
        scale=str(scale),
        size_multiple=scale.denominator,
        channels=RGB,
        quantisation="W8A8" if quantised else "none",
        training="none",
        data="none",
        licence="BSD-3-Clause",
        psnr_db={},
        weights_sha256=weights_sha256,
    )


def latency_run(
    targets: str = "1080p",
    *,
    scale: str = "2",
    methods: str = "quicksrnet-small",
    budgets: Sequence[str] = (),
    engine: str = "auto",
    models: Sequence[str] = (),
    frames: int = 300,
    fps: float | None = None,
    device_only: bool = False,
    transport: Literal["shm", "inline"] = "shm",
    delivery: Literal["every", "latest"] = "every",
    pixel_format: str = "rgba8",
    source: Literal["clip", "synthetic"] = "clip",
    threads: int | None = None,
    seconds: float = 60.0,
    rounds: int = 3,
    out: Path | None = None,
) -> Run:
    """Measure latency as `upscaler bench latency` does, for a test suite; see docs/latency.md.

    `targets` are sizes of results; `targets`, `scale` and `methods` may be lists with commas. The
    run's `misses` are the `budgets` that were not kept; `run.combination("1080p", "fsr1").summary`
    holds the figures. With `out`, run.json, the report and the rest are written there.

    Raises BadRequestError for what cannot be measured, and ServiceError when a combination failed;
    `out` then holds what was measured until then.
    """
    from upscaler.bench.latency.budgets import check_budgets, read_budgets
    from upscaler.bench.latency.files import prepare, write_all
    from upscaler.bench.latency.measure import run_plan
    from upscaler.bench.latency.options import Options
    from upscaler.bench.latency.plan import make_plan
    from upscaler.bench.latency.source import clip_source, synthetic_source

    options = Options(
        fps=fps,
        device_only=device_only,
        frames=frames,
        seconds=seconds,
        rounds=rounds,
        transport=transport,
        delivery=delivery,
        pixel_format=pixel_format,
        engine=engine,
        threads=threads,
        models=tuple(models),
    )
    plan = make_plan([targets], [scale], [methods], options.catalogue())
    limits = read_budgets(budgets)
    check_budgets(limits, plan.cases)
    if out is not None:
        prepare(out)
    pictures = clip_source() if source == "clip" else synthetic_source()
    finished = run_plan(plan, options, pictures, budgets=limits)
    if out is not None:
        write_all(out, finished)
    if finished.status == "interrupted":
        raise KeyboardInterrupt
    if finished.status == "failed":
        raise ServiceError(finished.error)
    return finished
