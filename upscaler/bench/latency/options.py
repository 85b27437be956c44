"""How a plan is measured: what is checked before anything is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

from protocol.errors import BadRequestError
from protocol.frames import parse_format
from upscaler.bench.latency.plan import Plan
from upscaler.bench.latency.results import Mode, Settings
from upscaler.bench.latency.source import Source
from upscaler.catalogue import Catalogue

WARM_UP = 10
"""Frames of each round before the first that counts; fewer where all of them take over a second."""
ROUNDS = 3
MAX_FPS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a plan is measured. `fps` makes an open loop; `seconds` are for all of it together."""

    fps: float | None = None
    device_only: bool = False
    frames: int = 300
    seconds: float = 240.0
    rounds: int = ROUNDS
    transport: Literal["shm", "inline"] = "shm"
    delivery: Literal["every", "latest"] = "every"
    credits: int = 2
    pixel_format: str = "rgba8"
    engine: str = "auto"
    threads: int | None = None
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_format(self.pixel_format)
        for what, value, offered in (
            ("transport", self.transport, ("shm", "inline")),
            ("delivery", self.delivery, ("every", "latest")),
        ):
            if value not in offered:
                _refuse(f"unknown {what} {value!r}; choose {' or '.join(offered)}")
        if self.fps is not None and not 0 < self.fps <= MAX_FPS:
            _refuse(f"a rate of {self.fps:g} frames a second is out of range; choose up to 1000")
        if self.device_only and self.fps is not None:
            _refuse("the device alone has no rate; leave --fps or --device-only out")
        if self.frames < 1 or self.rounds < 1 or not self.seconds > 0:
            asked = f"{self.frames} frames in {self.seconds:g} s and {self.rounds} rounds"
            _refuse(f"{asked} cannot be; choose more")

    @property
    def frames_of_rounds(self) -> list[int]:
        """How many frames of each combination every round has; none of them is empty."""
        rounds = min(self.rounds, self.frames)
        each, more = divmod(self.frames, rounds)
        return [each + (number < more) for number in range(rounds)]

    @property
    def mode(self) -> Mode:
        """Which loop."""
        if self.device_only:
            return "device"
        return "closed" if self.fps is None else "open"

    def catalogue(self) -> Catalogue:
        """What there is to measure; the engine is not started."""
        return Catalogue(engine=self.engine, models=self.models, threads=self.threads)

    def service_arguments(self, plan: Plan) -> list[str]:
        """What the service must be started with to measure `plan`."""
        given = ["--engine", self.engine]
        if self.threads is not None:
            given += ["--threads", str(self.threads)]
        for model in self.models:
            given += ["--model", model]
        for method in plan.methods:
            given += ["--method", method]
        return given

    def settings(self, source: Source) -> Settings:
        """Return them as results record them."""
        served = not self.device_only
        return Settings(
            mode=self.mode,
            fps=self.fps,
            frames=self.frames,
            seconds=self.seconds,
            warm_up=WARM_UP,
            rounds=len(self.frames_of_rounds),
            transport=self.transport if served else None,
            delivery=self.delivery if served else None,
            credits=self.credits if served else None,
            pixel_format=self.pixel_format,
            source=source.name,
            engine=self.engine,
            threads=self.threads,
        )


def _refuse(why: str) -> NoReturn:
    raise BadRequestError(why)
