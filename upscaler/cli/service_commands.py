"""Commands that speak to a running service: `upscaler top` and `upscaler model`."""

from __future__ import annotations

from typing import Annotated

import typer

Endpoint = Annotated[
    str,
    typer.Option("--connect", help="Where the service listens.", metavar="ENDPOINT"),
]
model = typer.Typer(
    help="Models of a running service.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer, default_endpoint: str) -> None:
    """Add the commands to `app`."""
    app.add_typer(model, name="model")

    @app.command()
    def top(
        endpoint: Endpoint = default_endpoint,
        interval: Annotated[float, typer.Option(help="Seconds between looks.", min=0.1)] = 1.0,
        once: Annotated[bool, typer.Option("--once", help="Print one look and end.")] = False,
    ) -> None:
        """Watch a running service: clients, fps, latency by stage, drops and misses."""
        from upscaler.cli.top import run

        run(endpoint, interval_s=interval, frames=1 if once else None)

    @model.command("load")
    def model_load(
        name: Annotated[
            str,
            typer.Argument(metavar="NAME|FILE", help="A shipped model, or an .onnx with a card."),
        ],
        endpoint: Endpoint = default_endpoint,
        timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=1)] = 120.0,
    ) -> None:
        """Replace the model of the same method and scale between two frames; none is lost."""
        from upscaler.cli.model import load

        load(name, endpoint=endpoint, timeout_s=timeout)

    @model.command("list")
    def model_list(endpoint: Endpoint = default_endpoint) -> None:
        """Print the models of a running service."""
        from upscaler.cli.model import show

        show(endpoint)
