"""Services that go away: killed, ended in order, and back again."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from dataclasses import replace

from protocol.errors import ErrorCode
from upscaler.conformance.case import CaseFailed, Cases, CaseSkipped, Section, require
from upscaler.conformance.expected import Asked
from upscaler.conformance.kit import Kit
from upscaler.conformance.language import OK
from upscaler.conformance.subject import GONE, Subject, lost_of, require_error
from upscaler.service.process import ServiceProcess

CASES = Cases()
PLAIN = Asked()
NOTICED_MS = 5_000
"""How long a client may take to notice that a service of this machine has gone."""
ROUNDS = 200
PAUSE_S = 0.1
"""Between frames, while the service takes its time to end."""
FILTERS = ("--method", "nearest")


def killed(kit: Kit, asked: Asked) -> None:
    """A killed service is SERVICE_LOST with its frames; reconnecting works, and ids go on."""
    _need_signals()
    subject = kit.subject
    with ServiceProcess(FILTERS) as service:
        endpoint = service.endpoint
        subject.must_open(endpoint, asked)
        kit.upscale(asked, 1)
        service.pause()  # so that no frame comes back
        in_flight = [subject.must_submit(seed) for seed in (2, 3, 4)]
        service.send_signal(signal.SIGKILL)
        _require_lost(subject, in_flight)
    subject.start_reconnect(timeout_ms=100)
    answer = subject.finish_reconnect(timeout_ms=100)
    require_error(answer, ErrorCode.TIMEOUT, when="from reconnect while no service is there")
    subject.start_reconnect()  # waits for the service that comes
    with ServiceProcess(FILTERS, bind=endpoint):
        subject.must_finish_reconnect()
        frame_id = kit.upscale(asked, 5)
        require(
            that=frame_id > in_flight[-1],
            expected=f"a frame id above {in_flight[-1]}",
            came=frame_id,
        )
        kit.upscale(asked, 6)
        counts = subject.stats()
        came = (counts["frames"], counts["lost"])
        require(that=came == (3, 3), expected="frames=3 lost=3 in stats", came=counts)
        subject.close()


def ended(kit: Kit, asked: Asked) -> None:
    """A service on ipc:// that ends is SHUTTING_DOWN or SERVICE_LOST; every frame is accounted."""
    _need_signals()
    with tempfile.TemporaryDirectory(prefix="upscaler-") as folder:
        _ended(kit, asked, f"ipc://{folder}/a service")  # the space is %20 in the command


def _ended(kit: Kit, asked: Asked, endpoint: str) -> None:
    subject = kit.subject
    with ServiceProcess(FILTERS, bind=endpoint) as service:
        subject.must_open(endpoint, asked)
        kit.upscale(asked, 1)
        service.send_signal(signal.SIGTERM)
        returned, submitted = _until_gone(subject)
    counts = subject.stats()
    lost = submitted - returned
    came = (counts["frames"], counts["lost"])
    require(
        that=came == (returned + 1, lost),
        expected=f"frames={returned + 1} lost={lost} in stats",
        came=counts,
    )
    with ServiceProcess(FILTERS, bind=endpoint):
        subject.must_reconnect()
        kit.upscale(asked, 2)
        subject.close()


def _need_signals() -> None:
    if os.name == "nt":
        msg = "Windows has neither ipc endpoints nor a way to hold a process"
        raise CaseSkipped(msg)


CASES.vary("killed", Section.LIVENESS, killed, Asked(transport="auto"))
CASES.vary("ended", Section.CLOSING, ended, Asked(transport="auto"))


@CASES.add(Section.CLOSING)
def goodbye_in_flight(kit: Kit) -> None:
    """BYE ends the session at once: frames in flight are lost, and reconnecting works."""
    asked = replace(PLAIN, credits=2)
    subject, service = kit.open_scripted(asked)
    kit.exchange(service, asked, 1)
    in_flight = []
    for seed in (2, 3):
        in_flight.append(subject.must_submit(seed))
        service.frame(seed, in_flight[-1])
    service.say_goodbye()
    _require_lost(subject, in_flight)
    subject.start_reconnect()
    service.welcome(service.hello())
    subject.must_finish_reconnect()
    kit.exchange(service, asked, 4)  # the scripted service requires that ids go on
    lost = subject.stats()["lost"]
    require(that=lost == 2, expected="lost=2 in stats", came=lost)


@CASES.add(Section.CLOSING)
def results_before_goodbye(kit: Kit) -> None:
    """A result that was sent before BYE still counts, though both came together."""
    subject, service = kit.open_scripted(PLAIN)
    first, second = subject.must_submit(1), subject.must_submit(2)
    frame = service.frame(1, first)
    service.frame(2, second)
    service.finish(frame)
    service.say_goodbye()
    subject.must_receive(first, kit.expected.crc(1, PLAIN))
    _require_lost(subject, [second])


@CASES.add(Section.CLOSING)
def goodbye_while_opening(kit: Kit) -> None:
    """BYE instead of WELCOME: the client asks again, or says that the service has gone."""
    service, subject = kit.script(PLAIN), kit.subject
    subject.start_open(service.endpoint, PLAIN)
    service.hello()
    service.say_goodbye()
    try:
        hello = service.hello()
    except CaseFailed:
        require_error(subject.finish_open(PLAIN), *GONE, ErrorCode.TIMEOUT, when="from open")
        return
    service.welcome(hello)
    subject.must_finish_open(PLAIN)
    kit.exchange(service, PLAIN, 1)


def _require_lost(subject: Subject, in_flight: list[int]) -> None:
    """Require that the service is reported as gone, and its frames as lost, one by one or all."""
    named: set[int] = set()
    for _ in in_flight:
        answer = subject.receive(timeout_ms=NOTICED_MS)
        require_error(answer, *GONE, when=f"from receive with {in_flight} in flight")
        named.update(lost_of(answer))
        if named >= set(in_flight) or not named:
            break
    require(
        that=not named or named == set(in_flight),
        expected=f"lost={','.join(map(str, in_flight))}",
        came=f"lost={','.join(map(str, sorted(named)))}",
    )


def _until_gone(subject: Subject) -> tuple[int, int]:
    """Send frames until the service has gone; returns how many came back, of how many."""
    returned = submitted = 0
    while True:
        require(that=returned < ROUNDS, expected="an error in the end", came=f"{returned} results")
        answer = subject.submit(returned)
        if answer.word == OK:
            submitted += 1
            answer = subject.receive(timeout_ms=NOTICED_MS)
        if answer.word != OK:
            require_error(answer, *GONE, when="once the service has ended")
            return returned, submitted
        returned += 1
        time.sleep(PAUSE_S)
