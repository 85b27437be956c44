"""How a command line ends: one line on stderr for every error, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from protocol.errors import UpscalerError

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Ctrl-C was heard and the command has ended in order; the message says what it left."""


def run(app: typer.Typer, program: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the commands of `app` and exit; `arguments` are those of the process when None.

    Errors are one line that begins with `program`, and exit code 2; Ctrl-C is 130.
    """
    # OpenCV and its FFmpeg write warnings of their own about files that our errors name.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):  # between commands, or at a prompt
        _fail(program, "interrupted", EXIT_INTERRUPTED)
    except Interrupted as interrupted:
        _fail(program, str(interrupted), EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`upscaler ... | head`): nothing is left to say, nor to whom, and
        # the interpreter must not try again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)
    except OSError as error:
        _fail(program, f"{error.filename or 'a file'}: {error.strerror or error}", EXIT_ERROR)
    except UpscalerError as error:
        _fail(program, str(error), EXIT_ERROR)
    except Exception as error:
        # Typer's errors of usage have no public base class; they alone can format themselves.
        usage = getattr(error, "format_message", None)
        if usage is None:
            raise
        _explain(program, usage())
    if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this code, without a word
        _fail(program, "interrupted", EXIT_INTERRUPTED)
    sys.exit(code or 0)


def _explain(program: str, usage: str) -> NoReturn:
    if usage.lstrip().startswith("Usage:"):  # a command without arguments shows its help
        sys.stdout.write(f"{usage}\n")
        sys.exit(EXIT_ERROR)
    _fail(program, f"{usage.rstrip('.')}; see --help", EXIT_ERROR)


def _fail(program: str, sentence: str, code: int) -> NoReturn:
    sys.stderr.write(f"{program}: {' '.join(sentence.split())}\n")
    sys.exit(code)
