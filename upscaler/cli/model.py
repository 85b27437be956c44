"""`upscaler model`: the models of a running service."""

from __future__ import annotations

from upscaler.console import console
from upscaler.control import Control


def load(model: str, *, endpoint: str, timeout_s: float) -> None:
    """Load a shipped model or a file, and say what runs now.

    Raises ServiceError with the service's reason; the model that ran before then still runs.
    """
    with Control(endpoint) as control:
        before = {each.name: each.weights_sha256 for each in control.report().models}
        report = control.load_model(model, timeout_s=timeout_s)
    for each in report.models:
        changed = before.get(each.name) != each.weights_sha256
        mark = "loaded  " if changed else "as it was"
        console.print(f"{mark:<10}{each.name} ({each.weights_sha256[:12]})", soft_wrap=True)


def show(endpoint: str) -> None:
    """Print the models on offer."""
    with Control(endpoint) as control:
        report = control.report()
    for each in report.models:
        console.print(
            f"{each.name}: {each.method} {each.scale}x ({each.weights_sha256[:12]})",
            soft_wrap=True,
        )
    if not report.models:
        console.print("none: filters only")
