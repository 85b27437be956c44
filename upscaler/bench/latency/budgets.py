"""Budgets: limits that a run must keep, as text or in a TOML file.

    1080p:p99=16.7              every combination with the target 1080p
    1080p/fsr1:p50=8            ... that is measured with fsr1 as well
    2x:1%low-average=60         frames a second must be at least as many, times at most as long
    p99=33                      all combinations

and the same as a file, a table for each selector (quotes where it is more than letters and digits):

    [1080p]
    p99 = 16.7
    ["1080p/2x/fsr1"]
    p50 = 8
    "1%low-average" = 60
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from protocol.errors import BadRequestError, ErrorCode
from upscaler.bench.latency.plan import Case
from upscaler.bench.latency.results import Measured, Verdict
from upscaler.filters.options import split_method

MOST = {
    "p50": "p50_ms",
    "p90": "p90_ms",
    "p95": "p95_ms",
    "p99": "p99_ms",
    "p99.9": "p999_ms",
    "max": "max_ms",
    "mean": "mean_ms",
}
"""Metrics in ms, that may be so long, and where a summary has them."""
LEAST = {
    "fps": "average_fps",
    "1%low-average": "low_average_fps",
    "1%low-integral": "low_integral_fps",
}
"""Metrics in frames a second, that must be so many."""
METRICS = (*MOST, *LEAST)
PATTERN = re.compile(r"(?:(?P<selector>.*):)?(?P<metric>[^:=]+)=(?P<limit>[^:=]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit for every combination that all parts of `selector` name; an empty one names all."""

    selector: tuple[str, ...]
    metric: str
    limit: float

    @property
    def text(self) -> str:
        """As it is written."""
        before = f"{'/'.join(self.selector)}:" if self.selector else ""
        return f"{before}{self.metric}={self.limit:g}"

    def names(self, case: Case) -> bool:
        """Whether it is about this combination."""
        method = split_method(case.method)[0]
        known = {case.target, str(case.output), case.scale_label, case.method, method}
        return all(part in known for part in self.selector)


def read_budgets(texts: Sequence[str]) -> list[Budget]:
    """Return the budgets of command-line texts, of which those that end in ".toml" name a file.

    Raises BadRequestError for what is none, and for a file that cannot be read.
    """
    found: list[Budget] = []
    for text in texts:
        found += _read_file(Path(text)) if text.endswith(".toml") else [parse_budget(text)]
    return found


def parse_budget(text: str) -> Budget:
    """Return the budget that `text` is, such as "1080p/2x:p99=16.7"; raises BadRequestError."""
    match = PATTERN.fullmatch(text.strip())
    if match is None:
        _refuse(
            f"{text[:80]!r} is no budget; write it as TARGET:METRIC=LIMIT, as in 1080p:p99=16.7"
        )
    metric, limit = match["metric"].strip(), match["limit"]
    return _budget(match["selector"] or "", metric, limit, repr(text[:80]))


def _budget(selector: str, metric: str, limit: Any, where: str) -> Budget:
    if metric not in METRICS:
        _refuse(f"budget {where}: unknown metric {metric!r}; choose {', '.join(METRICS)}")
    try:
        number = math.nan if isinstance(limit, bool) else float(limit)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        _refuse(f"budget {where}: the limit {limit!r} is no number above 0")
    parts = tuple(part for each in selector.split("/") if (part := each.strip()))
    return Budget(selector=parts, metric=metric, limit=number)


def _read_file(path: Path) -> list[Budget]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        _refuse(f"cannot read {path}: {error.strerror or error}", error)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        _refuse(f"{path} is no TOML: {error}", error)
    found = []
    for selector, limits in tables.items():
        if not isinstance(limits, dict):
            _refuse(f"{path}: {selector!r} stands outside a table; begin one, such as [1080p]")
        for metric, limit in limits.items():
            found.append(_budget(selector, metric, limit, f"[{selector}] {metric} in {path}"))
    if not found:
        _refuse(f"{path} holds no budget")
    return found


def check_budgets(budgets: Sequence[Budget], cases: Sequence[Case]) -> None:
    """Raise BadRequestError for a budget that names nothing of what will be measured."""
    for budget in budgets:
        if not any(budget.names(case) for case in cases):
            keys = ", ".join(case.key for case in cases[:3])
            more = ", ..." if len(cases) > 3 else ""
            _refuse(f"budget {budget.text} names nothing that is measured ({keys}{more})")


def limits_for(budgets: Sequence[Budget], case: Case) -> list[float]:
    """Return the limits in ms that concern a combination, each once, in order."""
    limits = {each.limit for each in budgets if each.metric in MOST and each.names(case)}
    return sorted(limits)


def judge(
    budgets: Sequence[Budget], cases: Sequence[Case], measured: Sequence[Measured]
) -> list[Verdict]:
    """Hold every budget against every combination that it names.

    What was not measured, or only emulated, or broke off, has not kept its budget.
    """
    by_key = {each.key: each for each in measured}
    return [
        _judge(budget, case.key, by_key.get(case.key))
        for budget in budgets
        for case in cases
        if budget.names(case)
    ]


def _judge(budget: Budget, key: str, measured: Measured | None) -> Verdict:
    most = budget.metric in MOST
    unit = "ms" if most else "fps"
    value: float | None = None
    kept = False
    bound = f"{'at most' if most else 'at least'} {budget.limit:g} {unit}"
    if measured is None or measured.summary is None:
        line = f"{key}: {budget.metric} was not measured, {bound} is asked for"
    else:
        found = float(getattr(measured.summary, (MOST | LEAST)[budget.metric]))
        value = found
        within = found <= budget.limit if most else found >= budget.limit
        kept = within and not measured.emulated and measured.status in {"complete", "shortened"}
        line = f"{key}: {budget.metric} is {found:.3f} {unit}, {bound} is asked for"
        if measured.emulated:
            line += " (emulated: its times mean nothing)"
        elif measured.status in {"failed", "interrupted"}:
            line += f" ({measured.status} after {measured.summary.count} frames)"
        elif budget.metric in measured.unresolved:
            line += f" (of {measured.summary.count} frames, too few for {budget.metric})"
    return Verdict(
        budget=budget.text,
        key=key,
        metric=budget.metric,
        limit=budget.limit,
        value=value,
        kept=kept,
        line=line,
    )


def _refuse(why: str, error: Exception | None = None) -> NoReturn:
    raise BadRequestError(why, code=ErrorCode.BAD_OPTION) from error
