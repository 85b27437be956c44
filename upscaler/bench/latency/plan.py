"""What is asked for: targets, scales and methods, and which of their combinations can be had.

Targets are sizes of the *result*: 1080p at 2x is measured with frames of 960x540. A combination may
be impossible: 720p at 1.5x would need a frame of 853 1/3 pixels. Such a one is left out and named,
as long as its target, its scale and its method are each measured in another; otherwise it is an
error, before anything is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import SCALES, Size, check_size, parse_scale, upscaled_size
from upscaler.bench.latency.results import LeftOut, ModelFact
from upscaler.catalogue import Catalogue
from upscaler.filters.library import check_filter_options, filters_at, is_filter
from upscaler.filters.options import check_no_options, split_method

TARGETS = ("540p", "720p", "1080p", "1440p", "2160p")
PAPER_MS = {"540p": 0.69, "720p": 0.95, "1080p": 2.24, "1440p": 4.25, "2160p": 8.15}
"""QuickSRNet-Small at 2x on the NPU of a Snapdragon 8 Gen 1, the network alone, by the paper."""
DEFAULT_SCALES = ("2", "1.5")
DEFAULT_METHODS = ("quicksrnet-small", "fsr1", "bicubic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One combination, and the sizes of its frames."""

    target: str
    scale: Fraction
    method: str
    input: Size
    output: Size

    @property
    def scale_label(self) -> str:
        """Such as "1.5x"."""
        return f"{float(self.scale):g}x"

    @property
    def key(self) -> str:
        """Its name in results, budgets and files."""
        return f"{self.target}/{self.scale_label}/{self.method}"

    @property
    def is_network(self) -> bool:
        """Whether an engine runs it."""
        return not is_filter(self.method)


def _cost(case: Case) -> tuple[bool, int]:
    # Networks compute by pixels of the input, filters by pixels of the result.
    return case.is_network, (case.input if case.is_network else case.output).pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The combinations in the order of the report, those left out, and the networks in them."""

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...] = ()
    models: tuple[ModelFact, ...] = ()

    @property
    def in_order_of_cost(self) -> list[Case]:
        """Cheapest first: what those leave of the time is for the expensive ones."""
        return sorted(self.cases, key=_cost)

    @property
    def methods(self) -> list[str]:
        """Methods without their options, each once."""
        return list(dict.fromkeys(split_method(case.method)[0] for case in self.cases))


def parse_targets(texts: Sequence[str]) -> list[tuple[str, Size]]:
    """Return names and sizes of targets from lists with commas: heights in 16:9, or WxH.

    Raises BadRequestError (UNSUPPORTED_SIZE) for anything else.
    """
    found: dict[str, Size] = {}
    for text in _listed(texts):
        size = _target_size(text)
        check_size(size, what="target")
        wide = size.width * 9 == size.height * 16
        found[f"{size.height}p" if wide else str(size)] = size
    return list(found.items())


def _target_size(text: str) -> Size:
    name = text.lower()
    height, width = name.removesuffix("p"), ""
    if height == name:
        width, _, height = name.partition("x")
    if not (height.isdecimal() and len(height) <= 5 and (width.isdecimal() or name[-1:] == "p")):
        msg = (
            f"unknown target {text[:32]!r}; name results as {', '.join(TARGETS)}, or as "
            "WIDTHxHEIGHT in pixels"
        )
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SIZE)
    if width:
        return Size(int(width), int(height))
    if int(height) % 9:
        msg = f"target {text} has no whole width in 16:9; write it as WIDTHxHEIGHT"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SIZE)
    return Size(int(height) // 9 * 16, int(height))


def parse_scales(texts: Sequence[str]) -> list[Fraction]:
    """Return the scales of lists with commas; raises BadRequestError (UNSUPPORTED_SCALE)."""
    return list(dict.fromkeys(parse_scale(text) for text in _listed(texts)))


def parse_methods(texts: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the methods of lists with commas, which options may hold too: "fsr1:denoise,stops=1".

    What follows a method with options and is no method of `known` is another of its options.
    """
    methods: list[str] = []
    for text in texts:
        parts: list[str] = []
        for part in _listed([text]):
            if parts and ":" in parts[-1] and part.partition(":")[0] not in known:
                parts[-1] += f",{part}"
            else:
                parts.append(part)
        methods += parts
    return list(dict.fromkeys(methods))


def _listed(texts: Sequence[str]) -> list[str]:
    return [part for text in texts for each in text.split(",") if (part := each.strip())]


def make_plan(
    targets: Sequence[str], scales: Sequence[str], methods: Sequence[str], catalogue: Catalogue
) -> Plan:
    """Combine everything with everything; each argument is of lists with commas.

    Raises BadRequestError for a target, scale or method that is unknown, or of which no combination
    can be had.
    """
    asked_targets = parse_targets(targets)
    asked_scales = parse_scales(scales)
    asked_methods = parse_methods(methods, catalogue.methods)
    for what, asked in (
        ("target", asked_targets),
        ("scale", asked_scales),
        ("method", asked_methods),
    ):
        if not asked:
            msg = f"no {what} is given; name at least one"
            raise BadRequestError(msg)
    for method in asked_methods:
        _check_method(method, catalogue)
    cases, left_out = [], []
    reasons: dict[str, str] = {}
    possible: set[str] = set()
    for (target, size), scale, method in product(asked_targets, asked_scales, asked_methods):
        case = Case(target=target, scale=scale, method=method, input=size, output=size)
        parts = (target, case.scale_label, method)
        try:
            source = input_size(target, size, scale)
            _check_scale(method, scale, catalogue)
        except BadRequestError as error:
            left_out.append(LeftOut(key=case.key, reason=str(error)))
            for part in parts:
                reasons.setdefault(part, str(error))
            continue
        possible.update(parts)
        cases.append(Case(target=target, scale=scale, method=method, input=source, output=size))
    for part, reason in reasons.items():
        if part not in possible:
            raise BadRequestError(reason, code=ErrorCode.UNSUPPORTED_SIZE)
    return Plan(
        cases=tuple(cases), left_out=tuple(left_out), models=tuple(_models(cases, catalogue))
    )


def input_size(target: str, output: Size, scale: Fraction) -> Size:
    """Return the size of the frames that `scale` makes results of `output` from.

    Raises BadRequestError (UNSUPPORTED_SIZE) when there is none in whole pixels.
    """
    label = f"{float(scale):g}x"
    exact = (Fraction(output.width) / scale, Fraction(output.height) / scale)
    source = Size(round(exact[0]), round(exact[1]))
    # Ratios that no network is made for round, as FSR1's modes do.
    whole = all(each.denominator == 1 for each in exact)
    if (scale in SCALES and not whole) or min(exact) < 1:
        msg = (
            f"{target} cannot be made at {label}: it would take a frame of "
            f"{float(exact[0]):.7g} x {float(exact[1]):.7g} pixels; choose another target or scale"
        )
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SIZE)
    made = upscaled_size(source, scale)
    if made != output:
        msg = f"{target} cannot be made at {label}: {source} becomes {made}; choose another"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SIZE)
    return source


def _check_method(method: str, catalogue: Catalogue) -> None:
    name, options = split_method(method)
    if name not in catalogue.methods:
        msg = f"unknown method {method[:80]!r}; choose one of {', '.join(catalogue.methods)}"
        raise BadRequestError(msg, code=ErrorCode.UNKNOWN_METHOD)
    if is_filter(method):
        check_filter_options(method)
    else:
        check_no_options(name, options)


def _check_scale(method: str, scale: Fraction, catalogue: Catalogue) -> None:
    name, label = split_method(method)[0], f"{float(scale):g}x"
    if is_filter(method):
        if name in filters_at(scale):
            return
        msg = f"{name} does not reach {label}"
    elif scale in {one.card.ratio for one in catalogue.networks if one.card.method == name}:
        return
    else:
        msg = f"{name} has no model for {label}"
    raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)


def _models(cases: Sequence[Case], catalogue: Catalogue) -> list[ModelFact]:
    wanted = {(case.method, case.scale) for case in cases}
    return [
        ModelFact(
            method=model.card.method,
            scale=model.card.scale,
            name=model.card.name,
            weights_sha256=model.card.weights_sha256,
        )
        for model in catalogue.networks
        if (model.card.method, model.card.ratio) in wanted
    ]
