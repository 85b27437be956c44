"""What a comparison found: the content of `report.json`, and what the page is drawn from.

Lengths of bars, colours and words belong to the page; here are numbers alone. A figure that cannot
be had (no native render, no sequence, a bound that one frame does not give) is None.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

VERSION = 1
NATIVE = "native"
"""Key of the native render among the pictures of a frame."""

MEASURES = ("psnr_db", "ssim", "flip", "flicker")

Figures = dict[str, float | None]
"""By measure: "psnr_db", "ssim", "flip" unless left out, and "flicker" of a consecutive frame."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over frames and its 95 % bootstrap interval; no bounds from a single frame."""

    mean: float | None
    low: float | None
    high: float | None


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Times of single frames on this machine, for the largest input size of the comparison."""

    input_size: str
    """Such as "960x540"."""
    output_size: str
    p50_ms: float
    p95_ms: float
    least_ms: float
    rounds: int


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """A method on its engine."""

    key: str
    """As the user wrote it, such as "fsr1:limiter=1.0" or "quicksrnet-small@npu"; unique."""
    name: str
    engine: str
    device: str
    emulated: bool
    """Its results are right; its times mean nothing."""
    latency: Latency | None
    overall: dict[str, Bounds]
    """By measure, over all frames: "psnr_db", "ssim", "flip", and "flicker" on sequences."""
    difference: dict[str, Bounds] = {}
    """By measure, to the first method, frame by frame (a paired bootstrap); empty for the first."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of one scene."""

    name: str
    frames: int
    methods: dict[str, dict[str, Bounds]]
    """By method key, then by measure, as `Method.overall`."""


class Crop(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the upscaled frame where the methods differ most, in pixels of the result."""

    x: int
    y: int
    width: int
    height: int


class FrameResult(msgspec.Struct, frozen=True, kw_only=True):
    """One frame. Pictures are files beside the report, named by method key."""

    name: str
    scene: str
    input_size: str
    width: int
    height: int
    methods: dict[str, Figures]
    crops: list[Crop]
    pictures: dict[str, str]
    """Path relative to the report by method key; "native" for the reference where there is one."""
    flip_maps: dict[str, str]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that could not be compared."""

    name: str
    reason: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. `frames` come worst first, by the PSNR of the first method."""

    version: int = VERSION
    upscaler: str
    """Version of the program."""
    made: str
    """Time in ISO 8601."""
    machine: str
    threads: int
    scale: str
    """Such as "2x", "1.5x"; "mixed" where frames have several."""
    methods: list[Method]
    scenes: list[Scene]
    frames: list[FrameResult]
    failures: list[Failure]


def write_json(path: Path, comparison: Comparison) -> None:
    """Write the comparison as indented JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=2))
