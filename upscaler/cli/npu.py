"""`upscaler npu`: what of a model runs on the NPU, and contexts for chips that are not here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import Size, parse_format, parse_scale, upscaled_size
from upscaler.console import console, table
from upscaler.engines.certificate import Certificate, Tensor
from upscaler.engines.contexts import add_entry
from upscaler.engines.npu_options import NpuOptions, NpuSettings
from upscaler.engines.qnn import QnnEngine
from upscaler.engines.socs import SOCS, parse_socs
from upscaler.models.library import Model, find_model, model_for, shipped

DEFAULT_SCALE = "2"


def certify(
    name: str,
    *,
    size: tuple[int, int],
    scale: str | None,
    pixel_format: str,
    out: Path | None,
    options: Sequence[str],
) -> None:
    """Compile and run a model once, print its certificate, and write it as JSON to `out`.

    Raises BadRequestError for a model, scale, size or format that there is not, and EngineError
    for a float model or when the NPU is missing.
    """
    colour = parse_format(pixel_format)
    settings = NpuSettings(options=NpuOptions.parse(options))
    certificate = QnnEngine(settings).certify(_model(name, scale), Size(*size), colour)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(certificate)) + b"\n")
    _print(certificate)


def compile_contexts(
    name: str,
    *,
    scale: str | None,
    sizes: Sequence[tuple[int, int]],
    pixel_formats: Sequence[str],
    socs: str,
    together: bool,
    out: Path,
    options: Sequence[str],
) -> None:
    """Compile a model for every size, format and chip into `out`, and show what came out.

    `together` makes one context for all chips. What was compiled before an error stays, and is in
    the manifest. Raises BadRequestError for a model, scale, size, format or chip that there is not,
    and EngineError when the compiler refuses.
    """
    chips, model = parse_socs(socs), _model(name, scale)
    colours = [parse_format(each.strip()) for each in pixel_formats]
    groups = [chips] if together else [[chip] for chip in chips]
    for size in sizes:  # an error in the last one should not come after minutes
        upscaled_size(Size(*size), model.card.ratio)
    engine = QnnEngine(NpuSettings(options=NpuOptions.parse(options)))
    out.mkdir(parents=True, exist_ok=True)
    shown = table(f"{model.card.name} in {out}", "context", "chips", "KiB", "s")
    for size in sizes:
        for colour in colours:
            for group in groups:
                began = time.perf_counter()
                entry = engine.compile(model, Size(*size), colour, group, out)
                add_entry(out, entry)
                shown.add_row(
                    next(iter(entry.files)),
                    ", ".join(f"{chip.label} v{chip.architecture}" for chip in group),
                    f"{entry.bytes / 1024:.0f}",
                    f"{time.perf_counter() - began:.2f}",
                )
    console.print(shown)


def list_socs() -> None:
    """Print the chips by code and by name."""
    shown = table("", "code", "name", "Hexagon", "QNN's number")
    for soc in SOCS:
        shown.add_row(soc.code, soc.name, f"v{soc.architecture}", str(soc.id))
    console.print(shown)


def _model(name: str, scale: str | None) -> Model:
    """A shipped method at a scale (2x when None), a shipped model or a file."""
    if name in {model.card.method for model in shipped()}:
        return model_for(name, parse_scale(scale or DEFAULT_SCALE))
    model = find_model(name)
    if scale is not None and parse_scale(scale) != model.card.ratio:
        msg = f"{model.card.name} is for {model.card.ratio}x, not {scale}; leave --scale out"
        raise BadRequestError(msg, code=ErrorCode.UNSUPPORTED_SCALE)
    return model


def _print(certificate: Certificate) -> None:
    whose = "emulator cycles" if certificate.emulated else "NPU cycles"
    shown = table("", "operator", "kind", "stride", "placement", whose)
    for operator in certificate.operators:
        shown.add_row(
            operator.name,
            operator.kind,
            "x".join(map(str, operator.stride or ())),
            operator.placement,
            "" if operator.cycles is None else f"{operator.cycles:,}",
        )
    shown.add_section()
    for end, cycles in certificate.transfer_cycles.items():
        shown.add_row(end, "", "", "", f"{cycles:,}")
    shown.add_row("all", "", "", "", f"{certificate.cycles or 0:,}")
    facts = {
        "model": f"{certificate.model}, weights {certificate.weights_sha256[:12]}",
        "frames": f"{certificate.input_size} to {certificate.output_size} "
        f"{certificate.pixel_format}",
        "device": certificate.device,
        "chip": certificate.chip,
        "architecture": f"HTP {certificate.architecture}",
        "driver": certificate.driver,
        "libraries": ", ".join(f"{name} {at}" for name, at in certificate.libraries.items()),
        "input": "; ".join(map(_described, certificate.inputs)),
        "output": "; ".join(map(_described, certificate.outputs)),
        "operators": certificate.summary,
        "cycles": f"of {certificate.cycles_of}",
    }
    for name, fact in facts.items():
        console.print(f"{name:<13}{fact}", markup=False, soft_wrap=True)
    console.print(shown)


def _described(tensor: Tensor) -> str:
    shape = "x".join(map(str, tensor.shape))
    return f"{tensor.name}, {tensor.type} {shape}, {tensor.bytes} bytes"
