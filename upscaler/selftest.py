"""A small frame through one engine, in a process of its own: `python -m upscaler.selftest ENGINE`.

Vendor libraries can hang, or take the whole process down. Here that ends the child, and the parent
says so. The child's answer is the last line of its stdout, since the libraries print lines too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from fractions import Fraction

import msgspec

from protocol.errors import EngineError

METHOD, SCALE, WIDTH, HEIGHT = "quicksrnet-small", Fraction(2), 64, 36
REFERENCE = "onnxruntime"
MAX_LEVELS = 5
"""Engines round differently: 2 levels between the emulated NPU and onnxruntime on this frame."""
LIMIT_S = 20.0
"""For one engine; 1 to 3 s on two cores, more when everything has to come from a slow disk."""


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """What one engine did; `error` says in one line why it did not, or did it wrong."""

    engine: str
    version: str = ""
    device: str = ""
    emulated: bool = False
    load_ms: float = 0
    frame_ms: float = 0
    levels_apart: int | None = None
    """Largest difference anywhere from the reference, see `measure`."""
    error: str = ""


def measure(name: str) -> SelfTest:
    """Run the shipped network on a game frame by the engine `name`, in this process.

    The reference is onnxruntime with the same network; for onnxruntime itself, which would always
    equal itself, it is the network before it was quantised. Raises what the engine raises.
    """
    import numpy as np

    from protocol.frames import PixelFormat, Size
    from upscaler.bench.frames import game_frame
    from upscaler.contract import Frame
    from upscaler.engines.library import select_engine
    from upscaler.models.library import model_for

    size, rgb = Size(WIDTH, HEIGHT), PixelFormat.RGB8
    frame = game_frame(size, rgb)

    def upscale(engine_name: str, *, quantised: bool) -> tuple[Frame, SelfTest]:
        started_ns = time.perf_counter_ns()
        engine = select_engine(engine_name)
        upscaler = engine.load(model_for(METHOD, SCALE, quantised=quantised), size, rgb)
        loaded_ns = time.perf_counter_ns()
        result = np.zeros(upscaler.output_shape, np.uint8)
        upscaler(frame, result)
        warm_ns = time.perf_counter_ns()
        upscaler(frame, result)
        done_ns = time.perf_counter_ns()
        upscaler.close()
        return result, SelfTest(
            engine=engine_name,
            version=engine.version,
            device=engine.device,
            emulated=engine.emulated,
            load_ms=(loaded_ns - started_ns) / 1e6,
            frame_ms=(done_ns - warm_ns) / 1e6,
        )

    result, facts = upscale(name, quantised=True)
    try:
        reference, _ = upscale(REFERENCE, quantised=name != REFERENCE)
    except EngineError as error:
        reason = f"nothing to compare with: {error}"
        return msgspec.structs.replace(facts, error=reason)
    return judge(facts, int(np.abs(result.astype(int) - reference).max()))


def judge(facts: SelfTest, levels_apart: int) -> SelfTest:
    """Return `facts` with the difference, and with an error if that is too large."""
    error = ""
    if levels_apart > MAX_LEVELS:
        other = "the float network" if facts.engine == REFERENCE else REFERENCE
        error = f"its result is {levels_apart} levels from {other}'s, at most {MAX_LEVELS} are fine"
    return msgspec.structs.replace(facts, levels_apart=levels_apart, error=error)


def measure_apart(
    name: str, *, limit_s: float = LIMIT_S, command: Sequence[str] | None = None
) -> SelfTest:
    """Run `measure` in a process of its own, for at most `limit_s`; every failure is an `error`.

    `command` is what to start instead of this module.
    """
    started = command or [sys.executable, "-m", "upscaler.selftest", name]
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            started,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        return SelfTest(engine=name, error=f"no result within {limit_s:g} s")
    except OSError as error:
        return SelfTest(engine=name, error=f"its process does not start: {error}")
    try:
        return msgspec.json.decode(_last_line(done.stdout), type=SelfTest)
    except msgspec.DecodeError:
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        said = _last_line(done.stderr)
        reason = f"its process ended with {ended}{': ' if said else ''}{said}"
        return SelfTest(engine=name, error=reason)


def one_line(error: BaseException | str, limit: int = 300) -> str:
    """Return the text of an error as one line; vendors write pages."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else f"{text[:limit]}..."


def _last_line(text: str) -> str:
    return one_line(text.strip().rpartition("\n")[2], 4000) if text.strip() else ""


def main(name: str) -> None:
    """Print what `measure` found as one line of JSON."""
    try:
        found = measure(name)
    except Exception as error:  # noqa: BLE001 - whatever a vendor raises is a finding
        found = SelfTest(engine=name, error=one_line(error))
    # Libraries may have left the cursor within a line of theirs.
    sys.stdout.write(f"\n{msgspec.json.encode(found).decode()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
