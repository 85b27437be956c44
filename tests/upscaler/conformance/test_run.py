"""The kit fails every client that does one thing wrong, and says what."""

from __future__ import annotations

import shlex
import socket
import sys
import threading
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from protocol.errors import BadRequestError
from upscaler.conformance.case import Status
from upscaler.conformance.driver import Driver, serve_lines
from upscaler.conformance.language import Line
from upscaler.conformance.link import DriverError, ProcessLink, SocketLink
from upscaler.conformance.run import CASES, chosen, run_cases
from upscaler.service.process import ServiceProcess

SPEC = Path(__file__).parents[3] / "protocol" / "SPEC.md"


def faulty(name: str) -> type[Driver]:
    path = Path(__file__).with_name("faulty.py")
    spec = spec_from_file_location("faulty", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    kind: type[Driver] = getattr(module, name)
    return kind


def listening(kind: type[Driver]) -> str:
    """Serve drivers of a kind on a thread, a new one for each connection; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=drive, args=(connection,), daemon=True).start()

    def drive(connection: socket.socket) -> None:
        with (
            connection,
            suppress(OSError, SystemExit),
            connection.makefile("r") as commands,
            connection.makefile("w") as answers,
        ):
            serve_lines(kind(), commands, answers)

    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("fault", "case", "said"),
    [
        ("IgnoresStrides", "strides-inline", "crc="),
        ("IgnoresResultStrides", "padded-results", "crc="),
        ("WrongChecksums", "keepalives", "crc="),
        ("HidesDrops", "dropped-shm", "id=2"),
        ("CrashesOnGarbage", "hostile-garbage", "closed the connection at `receive"),
        ("CrashesOnGarbage", "hostile-stride-huge", "closed the connection at `receive"),
        ("GivesGarbageOut", "hostile-pixels-short", "crc=00000000"),
        ("SubmitsTwice", "submitted-twice", "ok id=2"),
        ("ReleasesEarly", "kept-results-shm", ""),
        ("IgnoresDeadlines", "stale-deadline-inline", "ok id=1"),
        ("IgnoresDeadlines", "deadline-drop-auto", "outcome=upscaled"),
        ("GoesInlineUnasked", "never-inline-unasked", "code=17"),
        ("HidesLosses", "goodbye-in-flight", "error code=17"),
        ("CountsAnew", "goodbye-in-flight", "1"),
        ("ExceedsCredits", "credits", "ok id=3"),
        ("LeavesWithoutAWord", "says-goodbye", "nothing within"),
        ("ForgetsTheFallback", "handshake-rgb8-inline-every", ""),
        ("AnyCode", "refused-scale", "error code=1"),
        ("Babbles", "dropped-inline", "answered nonsense to `stats`"),
        ("LeavesOut", "keepalives", "id= is missing"),
        ("Hangs", "woken-by-a-result", "the driver hung: no answer to `receive"),
    ],
)
def test_a_client_that_does_one_thing_wrong_fails_that_case(
    fault: str, case: str, said: str, service: ServiceProcess
) -> None:
    link = SocketLink(listening(faulty(fault)), answer_s=1)
    # Another case before and after: the kit goes on with a driver that has failed.
    before, failing, after = chosen(["no-endpoint"]), chosen([case]), chosen(["no-endpoint"])
    name, ended = run_cases(link, [*before, *failing, *after], service=service)
    assert name == "python"
    assert [each.status for each in ended] == [Status.PASSED, Status.FAILED, Status.PASSED]
    assert said in (ended[1].came or ended[1].expected)
    assert ended[1].expected
    assert ended[1].dialogue


def test_every_case_says_what_it_requires_and_which_section_says_so() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) > 100
    assert all(case.requires for case in CASES)
    lines = SPEC.read_text().splitlines()
    headings = {line.lstrip("# ") for line in lines if line.startswith("#")}
    assert {str(case.section) for case in CASES} <= headings


def test_cases_are_chosen_by_name_and_pattern() -> None:
    assert [case.name for case in chosen(["says-goodbye", "credits*"])] == [
        "says-goodbye",
        "credits",
        "credits-granted",
    ]
    with pytest.raises(BadRequestError, match="there is no case 'nonsense'; --list names them"):
        chosen(["nonsense"])


def test_a_client_without_shared_memory_skips_those_cases() -> None:
    class Inline(Driver):
        def hello(self, line: Line) -> Line:
            return Line("ok", super().hello(line).values | {"transports": "inline"})

    _, ended = run_cases(SocketLink(listening(Inline)), chosen(["dropped-*"]))
    assert [(each.case.name, each.status) for each in ended] == [
        ("dropped-shm", Status.SKIPPED),
        ("dropped-inline", Status.PASSED),
    ]


def test_a_driver_that_ends_is_quoted_and_started_anew() -> None:
    program = (
        "import sys\n"
        "from upscaler.conformance.driver import Driver, main\n"
        "class Ends(Driver):\n"
        "    def stats(self, line):\n"
        "        sys.exit('the stack was smashed')\n"
        "main(Ends(), [])\n"
    )
    link = ProcessLink(shlex.join([sys.executable, "-c", program]))
    _, ended = run_cases(link, [*chosen(["dropped-inline"]), *chosen(["says-goodbye"])])
    assert ended[0].came == (
        "the driver ended with exit code 1 at `stats`; it said: the stack was smashed"
    )
    assert [each.status for each in ended] == [Status.FAILED, Status.PASSED]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('welcome', flush=True); input()", "answered nonsense to `hello`: an answer begins"),
        ("print('ok client=x', flush=True); input()", "`hello`: transports= is missing"),
        ("import sys; sys.exit('no library')", "exit code 1 at `hello`; it said: no library"),
    ],
)
def test_a_driver_that_does_not_say_hello_ends_the_run(program: str, words: str) -> None:
    link = ProcessLink(shlex.join([sys.executable, "-c", program]))
    with pytest.raises(DriverError) as caught:
        run_cases(link, CASES)
    assert words in str(caught.value)
