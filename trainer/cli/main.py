"""`upscaler-train`: prepare frames, train a network, quantise and export it, measure, release.

`upscaler-train --help` must answer at once, so the modules of the commands import typer and
nothing heavier; torch loads when a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import typer

from trainer.cli.bench import bench
from trainer.cli.evaluate import evaluate
from trainer.cli.prepare import prepare
from trainer.cli.quantise import quantise
from trainer.cli.release import release
from trainer.cli.reproduce import reproduce
from trainer.cli.train import train
from upscaler.cli.running import run

# Plain help, as in `upscaler`: rich's panels would take longer than everything else together.
app = typer.Typer(
    help="Train QuickSRNet on rendered game frames, quantise it to W8A8 and export it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (prepare, train, quantise, evaluate, release, reproduce, bench):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; an error is one line on stderr and exit code 2.

    `arguments` are those of the process when None.
    """
    run(app, "upscaler-train", arguments)
