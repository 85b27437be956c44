"""All cases, and one run of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from protocol.errors import BadRequestError
from upscaler.conformance import (
    cases_frames,
    cases_going,
    cases_hostile,
    cases_hostile_opening,
    cases_opening,
    cases_time,
)
from upscaler.conformance.case import Case, CaseFailed, CaseSkipped, Ended, Status
from upscaler.conformance.kit import Kit
from upscaler.conformance.link import DriverError, Link
from upscaler.service.process import ServiceProcess

CASES: tuple[Case, ...] = (
    *cases_opening.CASES,
    *cases_frames.CASES,
    *cases_time.CASES,
    *cases_hostile_opening.CASES,
    *cases_hostile.CASES,
    *cases_going.CASES,
)
STARTS = 3
"""Times that a driver may fail to start before the rest is not tried any more."""
ANSWER = "an answer of the driver"


def chosen(names: Sequence[str]) -> list[Case]:
    """Return the cases of these names or patterns ("hostile-*"), in the kit's order; all for none.

    Raises BadRequestError for a name without a case.
    """
    for name in names:
        if not any(fnmatchcase(case.name, name) for case in CASES):
            msg = f"there is no case {name!r}; --list names them"
            raise BadRequestError(msg)
    return [
        case for case in CASES if not names or any(fnmatchcase(case.name, name) for name in names)
    ]


def run_cases(
    link: Link,
    cases: Sequence[Case],
    *,
    engine: str = "auto",
    service: ServiceProcess | None = None,
    report: Callable[[Ended], None] = lambda _: None,
) -> tuple[str, list[Ended]]:
    """Run the cases against the driver behind `link`; returns its client's name and the results.

    `service` is a real one that runs already, and goes on; without it one is started. `report` is
    told each case as it ends. Raises BadRequestError for a driver that cannot be run,
    and DriverError for one that does not say hello: nothing is known of its client then.
    """
    ended: list[Ended] = []
    failed_starts = 0
    with Kit(link, engine=engine, service=service) as kit:
        kit.subject.start()
        name = kit.subject.name
        for case in cases:
            link.dialogue.clear()
            if failed_starts == STARTS:
                came = "the driver does not start any more"
                done = Ended(case=case, status=Status.FAILED, expected=ANSWER, came=came)
            else:
                done = _run(kit, case, link.dialogue)
                failed_starts = 0 if kit.subject.started else failed_starts + 1
            if done.status is Status.FAILED:
                kit.subject.stop(polite=False)  # an answer may be under way, to who knows what
            kit.end_case()
            ended.append(done)
            report(done)
    return name, ended


def _run(kit: Kit, case: Case, lines: Sequence[str]) -> Ended:
    began = time.monotonic()
    status, expected, came = Status.PASSED, "", ""
    try:
        kit.subject.start()
        if case.shared and "shm" not in kit.subject.transports:
            status, came = Status.SKIPPED, "the client does not know shared memory"
        else:
            case.run(kit)
            kit.subject.end_case()
    except CaseSkipped as skipped:
        status, came = Status.SKIPPED, str(skipped)
    except CaseFailed as failed:
        status, expected, came = Status.FAILED, failed.expected, failed.came
    except DriverError as error:
        status, expected, came = Status.FAILED, ANSWER, str(error)
    return Ended(
        case=case,
        status=status,
        seconds=round(time.monotonic() - began, 3),
        expected=expected,
        came=came,
        dialogue=tuple(lines) if status is Status.FAILED else (),
    )
