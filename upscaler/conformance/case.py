"""One case of the kit: what it is called, what it requires, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

from protocol.errors import UpscalerError

if TYPE_CHECKING:
    from upscaler.conformance.kit import Kit

SHOWN = 200
"""Characters of what was expected, and of what came."""


class Status(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Section(StrEnum):
    """Where the protocol says what a case requires."""

    OPENING = "Opening a session"
    VERSIONS = "Versions"
    FRAMES = "Frames and results"
    MEMORY = "Shared memory"
    CREDITS = "Credits and delivery"
    DEADLINES = "Deadlines"
    ERRORS = "Errors"
    LIVENESS = "Liveness"
    CLOSING = "Closing"


class CaseFailed(UpscalerError):  # noqa: N818 - a result of the kit
    """What a case required, and what the client did instead."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; came {came}")
        self.expected = expected[:SHOWN]
        self.came = came[:SHOWN]


class CaseSkipped(UpscalerError):  # noqa: N818 - nothing went wrong
    """Why a case cannot be run here."""


Run = Callable[["Kit"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case; `shared` ones need a client that knows shared memory."""

    name: str
    requires: str
    section: Section
    run: Run
    shared: bool = False


class Cases(list[Case]):
    """The cases of one file. What a case requires is the first line of its function's docstring."""

    def add(self, section: Section, *, shared: bool = False) -> Callable[[Run], Run]:
        """Make a function a case, named after it."""

        def decorate(run: Run) -> Run:
            self.vary(run.__name__.replace("_", "-"), section, run, shared=shared)
            return run

        return decorate

    def vary(
        self,
        name: str,
        section: Section,
        run: Callable[..., None],
        *arguments: object,
        requires: str = "",
        shared: bool = False,
    ) -> None:
        """Make a case of a function and its arguments, after the kit."""
        required = requires or (run.__doc__ or "").partition("\n")[0].rstrip(".")
        self.append(
            Case(
                name=name,
                requires=required,
                section=section,
                run=lambda kit: run(kit, *arguments),
                shared=shared,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A case that has run. `expected` and `came` are empty unless it failed."""

    case: Case
    status: Status
    seconds: float = 0.0
    expected: str = ""
    came: str = ""
    dialogue: tuple[str, ...] = ()


def fail(expected: str, came: object) -> NoReturn:
    """End a case as failed."""
    raise CaseFailed(expected, str(came))


def require(*, that: bool, expected: str, came: object) -> None:
    """Raise CaseFailed unless it is so."""
    if not that:
        fail(expected, came)
