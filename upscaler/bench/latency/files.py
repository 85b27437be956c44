"""Everything that a run leaves in its folder.

run.json            everything, with the times of all frames
report.html         for people; needs no file beside it
growth.png, frames_TARGET.png
presentmon/*.csv, mangohud/*.csv    one a combination, for tools that read those
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from protocol.errors import BadRequestError, ErrorCode
from upscaler.bench.latency.figures import draw_run
from upscaler.bench.latency.mangohud import mangohud_log
from upscaler.bench.latency.presentmon import presentmon_csv
from upscaler.bench.latency.report import write_report
from upscaler.bench.latency.results import RUN_FILE, Measured, Run, write_run

REPORT = "report.html"
PRESENTMON, MANGOHUD = "presentmon", "mangohud"


def prepare(folder: Path) -> None:
    """Make the folder, and see that it can be written to before anything is measured.

    Raises BadRequestError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        msg = f"cannot write to {folder}: {error.strerror or error}"
        raise BadRequestError(msg, code=ErrorCode.UNREADABLE_FILE) from error


def write_all(folder: Path, run: Run) -> None:
    """Write all files of a run that is finished or broke off; raises OSError."""
    write_run(folder / RUN_FILE, run)
    for name in (PRESENTMON, MANGOHUD):
        (folder / name).mkdir(exist_ok=True)
    names = file_names(run.combinations)
    for each in run.combinations:
        name = names[each.key]
        (folder / PRESENTMON / name).write_text(presentmon_csv(each), encoding="utf-8")
        log = mangohud_log(each, run.machine)
        (folder / MANGOHUD / name).write_text(log, encoding="utf-8")
    write_report(folder / REPORT, run, draw_run(folder, run))


def file_names(combinations: Sequence[Measured]) -> dict[str, str]:
    """Return a file name for each combination's key; no two are alike, on any system."""
    names: dict[str, str] = {}
    for each in combinations:
        name = re.sub(r"[^A-Za-z0-9.=-]+", "_", each.key)[:120]
        taken = {known.lower() for known in names.values()}
        if f"{name}.csv".lower() in taken:
            name = f"{name}_{len(names)}"
        names[each.key] = f"{name}.csv"
    return names
