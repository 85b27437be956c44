"""`upscaler conformance` and its options. What it runs loads when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upscaler.cli.options import Engine


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    def conformance(
        command: Annotated[
            str | None,
            typer.Option(
                help="A driver of the client to start; see docs/conformance.md.",
                metavar="COMMAND",
                show_default=False,
            ),
        ] = None,
        connect: Annotated[
            str | None,
            typer.Option(
                help="A driver that listens instead.", metavar="HOST:PORT", show_default=False
            ),
        ] = None,
        case: Annotated[
            list[str] | None,
            typer.Option(
                help='Run this case only, or those of a pattern ("hostile-*"). Repeatable.',
                metavar="NAME",
            ),
        ] = None,
        listed: Annotated[bool, typer.Option("--list", help="Name the cases and end.")] = False,
        json_file: Annotated[
            Path | None, typer.Option("--json", help="Write the results as JSON.", metavar="FILE")
        ] = None,
        verbose: Annotated[
            bool, typer.Option("--verbose", help="Show every line to and from the driver.")
        ] = False,
        engine: Engine = "auto",
    ) -> None:
        """Run a client in any language through the protocol's cases; exit code 1 if one fails."""
        from upscaler.cli.conformance import run, show

        if listed:
            show(case or [])
            return
        code = run(
            command,
            connect,
            names=case or [],
            engine=engine,
            json_file=json_file,
            verbose=verbose,
        )
        raise typer.Exit(code)
