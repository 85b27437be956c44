"""`upscaler bench load`: how long the NPU engine takes from a model to one that is ready.

Each load is a process of its own, as a start of the service is: what a first load leaves in memory
would make the second one faster. The ways take turns, so that noise hits all.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from protocol.errors import EngineError
from protocol.frames import Size, parse_format
from upscaler.console import console, progress, table
from upscaler.machine import cpu_name

WITHOUT, COLD, WARM = "no cache", "cold cache", "warm cache"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start: milliseconds for the imports, the engine and the load, and what was loaded."""

    import_ms: float
    engine_ms: float
    load_ms: float
    device: str
    context: str


def run(model: str, *, size: tuple[int, int], pixel_format: str, rounds: int) -> None:
    """Time starts without a cache, with an empty one and with a full one, and print medians.

    Raises EngineError when a start fails, with its own last line.
    """
    frame_size, colour = Size(*size), parse_format(pixel_format)
    starts: dict[str, list[Start]] = {WITHOUT: [], COLD: [], WARM: []}
    with progress() as bar, tempfile.TemporaryDirectory(prefix="upscaler-bench-") as scratch:
        task = bar.add_task("starts", total=3 * rounds)
        for turn in range(rounds):
            folder = Path(scratch) / str(turn)
            # Cold fills the folder that warm then finds.
            for way, cache in ((WITHOUT, "-"), (COLD, str(folder)), (WARM, str(folder))):
                arguments = [model, str(frame_size.width), str(frame_size.height), colour.label]
                starts[way].append(_start([*arguments, cache]))
                bar.advance(task)
    warm = np.median([each.load_ms for each in starts[WARM]])
    shown = table(
        f"{model} {frame_size} {colour.label} on {starts[WARM][0].device}; {rounds} starts each, "
        f"{cpu_name()}",
        *("start", "load p50 ms", "min ms", "max ms", "x warm", "engine ms", "imports ms"),
    )
    for way, found in starts.items():
        loads = [each.load_ms for each in found]
        shown.add_row(
            way,
            f"{np.median(loads):.1f}",
            f"{min(loads):.1f}",
            f"{max(loads):.1f}",
            f"{np.median(loads) / warm:.1f}",
            f"{np.median([each.engine_ms for each in found]):.0f}",
            f"{np.median([each.import_ms for each in found]):.0f}",
        )
    console.print(shown)


def _start(arguments: Sequence[str]) -> Start:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "upscaler.bench.load", *arguments],
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    # Qualcomm's libraries print lines of their own.
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode:
        raise EngineError(last or f"a start ended with code {done.returncode}")
    return msgspec.json.decode(last, type=Start)


def start(model: str, width: str, height: str, pixel_format: str, cache: str) -> Start:
    """Load a model once in this process; `cache` is a folder, or "-" for none."""
    began = time.perf_counter_ns()
    # What every load needs and would import: so that it counts as imports for all alike.
    import onnx  # noqa: F401
    from onnx import numpy_helper  # noqa: F401

    from upscaler.engines.npu_options import NpuSettings
    from upscaler.engines.onnxruntime import import_onnxruntime
    from upscaler.engines.qnn import QnnEngine
    from upscaler.models.library import find_model

    import_onnxruntime()
    found = find_model(model)
    imported = time.perf_counter_ns()
    engine = QnnEngine(NpuSettings(cache=None if cache == "-" else Path(cache)))
    ready = time.perf_counter_ns()
    upscaler = engine.load(found, Size(int(width), int(height)), parse_format(pixel_format))
    loaded = time.perf_counter_ns()
    upscaler.close()
    return Start(
        import_ms=(imported - began) / 1e6,
        engine_ms=(ready - imported) / 1e6,
        load_ms=(loaded - ready) / 1e6,
        device=engine.device,
        context=upscaler.certificate.context,
    )


if __name__ == "__main__":
    from protocol.errors import UpscalerError

    try:
        sys.stdout.write(f"\n{msgspec.json.encode(start(*sys.argv[1:])).decode()}\n")
    except UpscalerError as error:
        sys.stdout.write(f"\n{error}\n")
        sys.exit(2)
