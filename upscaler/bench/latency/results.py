"""What `run.json` holds, and how it is read back: the published format of a run.

`run.schema.json` beside this file is its JSON Schema, made from these classes. A file says which
`format` and `version` it is; fields may be added within a version, and anything else makes another.
Times of frames are kept, so that figures can be made again, and two runs compared, from the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from protocol.errors import BadRequestError, ErrorCode
from upscaler.bench.latency.statistics import Summary
from upscaler.latency import Percentiles

FORMAT = "upscaler latency run"
VERSION = 1
RUN_FILE = "run.json"
SCHEMA = Path(__file__).with_name("run.schema.json")
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"

Mode = Literal["closed", "open", "device"]
Status = Literal["complete", "shortened", "interrupted", "failed"]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured; None for what the system does not tell. No name and no address."""

    cpu: str
    cores: int
    memory_mib: int | None
    system: str
    features: list[str]
    """Of the processor, as LLVM names them."""
    governor: str | None
    """Of the clock frequency, on Linux."""
    load_start: list[float] | None
    """Programs that wanted a core, averaged over 1, 5 and 15 minutes, before the first frame."""
    load_end: list[float] | None
    stolen: float | None = None
    """Share of the time of all cores in which the host of a virtual machine did not run them."""


class ModelFact(msgspec.Struct, frozen=True, kw_only=True):
    """A network that was measured."""

    method: str
    scale: str
    name: str
    weights_sha256: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    mode: Mode
    """closed: the next frame when the last has come back; open: at a rate; device: no service."""
    fps: float | None
    """The rate of an open loop."""
    frames: int
    seconds: float
    """What all combinations may take together; slow ones get fewer frames."""
    warm_up: int
    """Frames at most, before each round."""
    rounds: int = 1
    """How often all combinations were gone through, each time for a part of the frames."""
    transport: str | None
    delivery: str | None
    """"every": no frame is dropped; "latest": one that waits makes way for a newer one."""
    credits: int | None
    pixel_format: str
    source: str
    engine: str
    threads: int | None


class FrameTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One entry for each frame that came back, in ms; `at_ms` from the first submission on.

    `total_ms`, which the figures are made of, runs from the time a frame was meant for (open loop)
    or submitted at (closed loop) until it arrived: the sum of the six parts before it.
    """

    at_ms: list[float]
    late_ms: list[float]
    """Submitted after it was meant to be; 0 in a closed loop."""
    sent_ms: list[float]
    waited_ms: list[float]
    upscaled_ms: list[float]
    returned_ms: list[float]
    arrived_ms: list[float]
    total_ms: list[float]
    call_ms: list[float]
    """Inside `submit`."""
    dropped_at_ms: list[float] = []
    """When frames were submitted that never came back."""
    rounds: list[int] = []
    """How many frames each round has. Between two of them `at_ms` goes on without a gap."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One combination."""

    key: str
    """Such as "1080p/2x/fsr1": target, scale and method."""
    target: str
    scale: str
    method: str
    input_width: int
    input_height: int
    output_width: int
    output_height: int
    status: Status
    """shortened: it had its share of the time; interrupted or failed: part of it is here."""
    error: str = ""
    engine: str = ""
    device: str = ""
    emulated: bool = False
    """Its results are right; its times mean nothing."""
    transport: str = ""
    """How pixels really travelled; empty for the device alone."""
    inline_reason: str = ""
    warm_up: int = 0
    """Frames that do not count, of all rounds together: each begins with some."""
    dropped: int = 0
    took_s: float = 0.0
    summary: Summary | None = None
    """None when no frame came back."""
    stages: dict[str, Percentiles] = {}
    harness: Percentiles | None = None
    """What this program spent for each frame beside the client's calls and writing pixels."""
    unresolved: list[str] = []
    """Percentiles that there are too few frames for."""
    warnings: list[str] = []
    times: FrameTimes


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A combination that was asked for and cannot be."""

    key: str
    reason: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A budget against one combination."""

    budget: str
    key: str
    metric: str
    limit: float
    value: float | None
    """None where nothing was measured."""
    kept: bool
    line: str
    """In words."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run."""

    format: str = FORMAT
    version: int = VERSION
    upscaler: str
    """Version of the program."""
    git_revision: str | None
    """Commit of the program's source, with "+" for changed files; None outside a repository."""
    made: str
    """When it began, in ISO 8601."""
    took_s: float
    status: Status
    error: str = ""
    machine: Machine
    versions: dict[str, str]
    """Of Python and of the packages that matter."""
    models: list[ModelFact]
    settings: Settings
    rules: list[str]
    """By which `warnings` are given."""
    warnings: list[str] = []
    """About the run as a whole."""
    combinations: list[Measured]
    left_out: list[LeftOut] = []
    budgets: list[Verdict] = []

    @property
    def emulated(self) -> bool:
        """Whether any of it ran on an imitated processor."""
        return any(each.emulated for each in self.combinations)

    def combination(self, *parts: str) -> Measured:
        """Return the one combination that has all of `parts`: target, scale, method, in any order.

        Raises BadRequestError when there is none, or more than one.
        """
        found = [
            each
            for each in self.combinations
            if set(parts) <= {each.key, each.target, each.scale, each.method}
        ]
        if len(found) != 1:
            keys = ", ".join(each.key for each in found or self.combinations)
            msg = f"{'/'.join(parts)} names {len(found)} combinations, not one, of {keys}"
            raise BadRequestError(msg)
        return found[0]

    @property
    def misses(self) -> list[Verdict]:
        """Budgets that were not kept."""
        return [each for each in self.budgets if not each.kept]


class _Head(msgspec.Struct):
    format: str = ""
    version: int = 0


def encode_run(run: Run) -> bytes:
    """Return the JSON of a run."""
    return msgspec.json.encode(run) + b"\n"


def write_run(path: Path, run: Run) -> None:
    """Write `run.json`; the file appears whole or not at all. Raises OSError."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(encode_run(run))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_run(path: Path) -> Run:
    """Read a run from its file, or from the folder it was written to.

    Raises BadRequestError (UNREADABLE_FILE) for a file that is missing, no run, damaged, or of
    another version than this program writes.
    """
    file = path / RUN_FILE if path.is_dir() else path
    try:
        text = file.read_bytes()
    except OSError as error:
        _refuse(f"cannot read {file}: {error.strerror or error}", error)
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse(f"{file} is no JSON of a run ({error})", error)
    if head.format != FORMAT:
        _refuse(f"{file} is no latency run; `upscaler bench latency` writes them")
    if head.version < VERSION:
        _refuse(
            f"{file} is of version {head.version}, older than {VERSION}, which is read here; "
            "measure again"
        )
    if head.version > VERSION:
        _refuse(f"{file} is of version {head.version}, and {VERSION} is read here; update upscaler")
    try:
        return msgspec.json.decode(text, type=Run)
    except msgspec.ValidationError as error:
        _refuse(f"{file} is damaged: {error}", error)


def _refuse(why: str, error: Exception | None = None) -> NoReturn:
    raise BadRequestError(why, code=ErrorCode.UNREADABLE_FILE) from error


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a run."""
    made = msgspec.json.schema(Run)
    return {"$schema": SCHEMA_ID, "title": FORMAT, **made}


def schema_text() -> str:
    """Return the text of `run.schema.json`."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"
