"""Commands that show a live picture: `upscaler capture` and `upscaler view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upscaler.cli.options import Engine

Connect = Annotated[
    str | None,
    typer.Option(
        "--connect",
        help="The service to use. Without it, the one at the default address if there is one, else "
        "one is started.",
        metavar="ENDPOINT",
        show_default=False,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help="The method; repeatable, the others are on keys 2 to 9. quicksrnet-small, fsr1, "
        "bicubic and sgsr1 by default.",
        metavar="NAME",
        show_default=False,
    ),
]
Scale = Annotated[str, typer.Option(help="2, 3, 4 or 1.5; filters take any from 1 to 4.")]
Native = Annotated[
    Path | None,
    typer.Option(
        help="Native renders of --file, a clip of as many frames: a reference for the page.",
        metavar="PATH",
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        help="Frames a second: 30 by default, or the file's own.", min=0.1, show_default=False
    ),
]
Seconds = Annotated[
    float | None, typer.Option(help="End after so long.", min=0.1, show_default=False)
]
Window = Annotated[
    str | None, typer.Option(help="A window by its title, or a part of it.", metavar="TITLE")
]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="A part of the screen.", metavar="X,Y,W,H")
]
Monitor = Annotated[
    int | None, typer.Option(help="A monitor, counted from 1; 0 is all of them.", min=0)
]
File = Annotated[
    Path | None, typer.Option("--file", help="A video, a folder of images, or an image.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""

    @app.command()
    def capture(
        window: Window = None,
        region: RegionOption = None,
        monitor: Monitor = None,
        file: File = None,
        to: Annotated[
            str,
            typer.Option(
                help="window, browser, or a video file to write, such as out.mp4.",
                metavar="window|FILE|browser",
            ),
        ] = "window",
        method: Methods = None,
        scale: Scale = "2",
        fps: Fps = None,
        native: Native = None,
        loop: Annotated[
            bool, typer.Option("--loop", help="Play the file again and again.")
        ] = False,
        viewer: Annotated[
            int | None,
            typer.Option(
                help="Also serve the live view on this port of 127.0.0.1; 0 takes a free one.",
                metavar="PORT",
                min=0,
                max=65535,
            ),
        ] = None,
        connect: Connect = None,
        engine: Engine = "auto",
        seconds: Seconds = None,
    ) -> None:
        """Capture a window, the screen or a file, and show it upscaled while it runs."""
        from upscaler.cli.capture import CaptureOptions, run

        run(
            CaptureOptions(
                window=window,
                region=region,
                monitor=monitor,
                file=file,
                to=to,
                methods=tuple(method or ()),
                scale=scale,
                fps=fps,
                native=native,
                loop=loop,
                viewer=viewer,
                connect=connect,
                engine=engine,
                seconds=seconds,
            )
        )

    @app.command()
    def view(
        window: Window = None,
        region: RegionOption = None,
        monitor: Monitor = None,
        file: File = None,
        method: Methods = None,
        scale: Scale = "2",
        fps: Fps = None,
        native: Native = None,
        port: Annotated[
            int,
            typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535),
        ] = 5580,
        connect: Connect = None,
        engine: Engine = "auto",
        seconds: Seconds = None,
    ) -> None:
        """Serve a page that compares methods live: on a game clip, a file, or the screen.

        Files are played again and again.
        """
        from upscaler.cli.capture import CaptureOptions, run

        run(
            CaptureOptions(
                window=window,
                region=region,
                monitor=monitor,
                file=file,
                to="browser",
                methods=tuple(method or ()),
                scale=scale,
                fps=fps,
                native=native,
                loop=True,
                viewer=port,
                connect=connect,
                engine=engine,
                seconds=seconds,
                demo=True,
            )
        )
