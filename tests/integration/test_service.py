"""A real service process and real clients, several at once, honest and not."""

from __future__ import annotations

import ctypes
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from msgspec.structs import replace

from protocol.errors import BadRequestError, ErrorCode, ServiceError, ServiceTimeoutError
from protocol.frames import Size, parse_format
from protocol.messages import INLINE_SLOT, Bye, Failure, Frame, Hello, Welcome, decode, encode
from upscaler.bench.frames import game_frame
from upscaler.catalogue import Catalogue
from upscaler.client import Client
from upscaler.contract import Request
from upscaler.service.process import ServiceProcess
from upscaler.service.server import Limits, Service
from upscaler.timings import STAGES, TOTAL
from upscaler.transport import DealerTransport

CASES = [
    ((64, 36), "2", "rgb8", "quicksrnet-small"),
    ((50, 30), "2", "bgra8", "quicksrnet-small"),
    ((64, 36), "2", "rgba8", "fsr1"),
    ((33, 17), "3", "bgr8", "fsr1"),
    ((64, 36), "3/2", "rgba8", "bicubic"),
    ((31, 9), "4", "rgb8", "nearest"),
    ((64, 36), "13/10", "rgb8", "fsr1:stops=0.5,limiter=1.0,border=clamp,denoise,between=float"),
    ((40, 30), "17/10", "bgra8", "nis:sharpness=0.3"),
]
HELLO = Hello(size=Size(8, 4), scale=Fraction(2), pixel_format=parse_format("rgb8"), method="fsr1")


def expected(case: tuple[tuple[int, int], str, str, str], frame: np.ndarray) -> np.ndarray:
    size, scale, pixel_format, method = case
    request = Request(
        method=method,
        size=Size(*size),
        scale=Fraction(scale),
        pixel_format=parse_format(pixel_format),
    )
    upscaler = Catalogue().open(request)
    result = np.empty(upscaler.output_shape, np.uint8)
    upscaler(frame, result)
    upscaler.close()
    return result


def stream(endpoint: str, case: tuple[tuple[int, int], str, str, str]) -> list[np.ndarray]:
    size, scale, pixel_format, method = case
    frame = game_frame(Size(*size), parse_format(pixel_format))
    with Client(
        endpoint, size=size, scale=scale, pixel_format=pixel_format, method=method
    ) as client:
        assert client.welcome.method == method.partition(":")[0]
        assert not client.welcome.emulated
        return [client.upscale(np.roll(frame, shift, axis=1)).copy() for shift in range(4)]


def test_clients_of_every_kind_at_once(service: ServiceProcess) -> None:
    with ThreadPoolExecutor(len(CASES)) as pool:
        streams = list(pool.map(lambda case: stream(service.endpoint, case), CASES))
    for case, results in zip(CASES, streams, strict=True):
        size, _, pixel_format, _ = case
        frame = game_frame(Size(*size), parse_format(pixel_format))
        for shift, result in enumerate(results):
            assert np.array_equal(result, expected(case, np.roll(frame, shift, axis=1))), case


@pytest.mark.parametrize("transport", ["shm", "inline"])
def test_a_pipeline_returns_every_frame_in_order(service: ServiceProcess, transport: str) -> None:
    size = (64, 36)
    frame = game_frame(Size(*size), parse_format("rgb8"))
    with Client(
        service.endpoint,
        size=size,
        method="nearest",
        credits=3,
        delivery="every",
        transport=transport,  # type: ignore[arg-type]
    ) as client:
        assert client.transport == transport
        for first in range(0, 12, 3):
            shifts = range(first, first + 3)
            ids = [client.submit(np.roll(frame, shift, axis=0)) for shift in shifts]
            results = [client.receive(10) for _ in ids]
            assert [result.frame_id for result in results] == ids
            for shift, result in zip(shifts, results, strict=True):
                assert np.array_equal(result.pixels[::2, ::2], np.roll(frame, shift, axis=0))
                stages = list(result.timing.times_ns)
                assert stages == sorted(stages)
                assert stages[0] > 0
        with pytest.raises(BadRequestError, match="no frame in flight"):
            client.receive()
        told = client.stats()
        assert (told.frames, told.dropped, told.failed, told.lost) == (12, 0, 0, 0)
        assert list(told.stages) == [*STAGES, TOTAL]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"method": "dlss"}, ErrorCode.UNKNOWN_METHOD, "unknown method 'dlss'; choose one of"),
        ({"scale": 5}, ErrorCode.UNSUPPORTED_SCALE, "choose a ratio from 1 to 4"),
        ({"scale": 1.5, "size": (63, 36)}, ErrorCode.UNSUPPORTED_SIZE, "needs even sides"),
        ({"size": (0, 36)}, ErrorCode.UNSUPPORTED_SIZE, "0x36 has no pixels"),
        ({"size": (-64, 36)}, ErrorCode.UNSUPPORTED_SIZE, "-64x36 has no pixels"),
        ({"size": (100000, 36)}, ErrorCode.UNSUPPORTED_SIZE, "100000x36 is too large"),
        ({"size": (64.5, 36)}, ErrorCode.UNSUPPORTED_SIZE, "whole pixels"),
        ({"pixel_format": "nv12"}, ErrorCode.UNSUPPORTED_FORMAT, "unknown pixel format 'nv12'"),
        ({"credits": 99}, ErrorCode.BAD_OPTION, "choose 1 to 8"),
        ({"delivery": "some"}, ErrorCode.BAD_OPTION, "unknown delivery 'some'; choose one of la"),
        ({"transport": "udp"}, ErrorCode.BAD_OPTION, "unknown transport 'udp'; choose one of au"),
        ({"fallback": "dlss"}, ErrorCode.UNKNOWN_METHOD, "unknown fallback 'dlss'; choose a filt"),
        ({"method": "fsr1", "sharpness_stops": -1.0}, ErrorCode.BAD_OPTION, "sharpness"),
    ],
)
def test_a_wrong_request_has_a_precise_answer(
    service: ServiceProcess, options: dict[str, object], code: ErrorCode, words: str
) -> None:
    arguments: dict[str, object] = {"size": (64, 36), "method": "quicksrnet-small", **options}
    with pytest.raises((ServiceError, BadRequestError), match=words) as caught:
        Client(service.endpoint, **arguments)  # type: ignore[arg-type]
    assert caught.value.code is code


def ask(peer: DealerTransport, parts: list[bytes]) -> tuple[object, str]:
    assert peer.send(parts, timeout_s=5)
    while True:
        answer = peer.receive(20)
        assert answer is not None
        message = decode(answer[0])
        if type(message).__name__ != "Keepalive":
            return message, bytes(answer[1]).decode() if len(answer) == 2 else ""


def version(header: bytes, major: int) -> bytes:
    return header[:4] + bytes([major]) + header[5:]


def test_hostile_messages_are_answered_and_hurt_nobody(service: ServiceProcess) -> None:
    frame = Frame(frame_id=1, size=Size(8, 4), stride=24, pixel_format=HELLO.pixel_format)
    honest = Client(service.endpoint, size=(64, 36), method="bicubic")
    peer = DealerTransport(service.endpoint)

    def code_of(*parts: bytes) -> ErrorCode:
        message, sentence = ask(peer, list(parts))
        assert isinstance(message, Failure), message
        assert len(sentence.split()) > 3
        return ErrorCode(message.code)

    assert code_of(b"\x00\xffnoise" * 30) is ErrorCode.MALFORMED
    assert code_of(b"") is ErrorCode.MALFORMED
    assert code_of(version(encode(HELLO), 0)) is ErrorCode.UNSUPPORTED_VERSION
    assert code_of(version(encode(HELLO), 9)) is ErrorCode.UNSUPPORTED_VERSION
    assert code_of(encode(frame), bytes(96)) is ErrorCode.UNEXPECTED_MESSAGE
    assert code_of(encode(replace(HELLO, size=Size(0, 4)))) is ErrorCode.UNSUPPORTED_SIZE
    assert code_of(encode(replace(HELLO, size=Size(2**31, 2**31)))) is ErrorCode.UNSUPPORTED_SIZE
    assert code_of(encode(replace(HELLO, scale=Fraction(14, 3)))) is ErrorCode.UNSUPPORTED_SCALE
    assert code_of(encode(replace(HELLO, method="\x1b[31m"))) is ErrorCode.UNKNOWN_METHOD
    assert code_of(encode(replace(HELLO, sharpness_stops=float("nan")))) is ErrorCode.BAD_OPTION
    welcome, _ = ask(peer, [encode(HELLO)])
    assert isinstance(welcome, Welcome)
    assert code_of(encode(HELLO)) is ErrorCode.UNEXPECTED_MESSAGE
    assert code_of(encode(frame), bytes(95)) is ErrorCode.PIXELS_MISMATCH
    assert code_of(encode(replace(frame, stride=2**31)), bytes(96)) is ErrorCode.PIXELS_MISMATCH
    assert code_of(encode(replace(frame, slot=INLINE_SLOT - 1))) is ErrorCode.PIXELS_MISMATCH
    result, _ = ask(peer, [encode(frame), bytes(96)])
    assert getattr(result, "frame_id", None) == 1
    peer.send([encode(Bye())], timeout_s=1)
    peer.close()

    result_frame = honest.upscale(game_frame(Size(64, 36), parse_format("rgb8")))
    assert result_frame.shape == (72, 128, 3)
    honest.close()


def test_raw_bytes_on_the_port_hurt_nobody(service: ServiceProcess) -> None:
    address = urlsplit(service.endpoint)
    assert address.hostname is not None
    assert address.port is not None
    for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 40, b"\xff" * 64):
        with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
            raw.sendall(noise)
    assert stream(service.endpoint, CASES[0])


def test_results_that_nobody_reads_are_bounded(service: ServiceProcess) -> None:
    """Frame after frame without reading: refused at some point, or cut off; others go on."""
    hello = replace(HELLO, size=Size(640, 360), method="nearest", credits=1)
    peer = DealerTransport(service.endpoint)
    welcome, _ = ask(peer, [encode(hello)])
    assert isinstance(welcome, Welcome)
    pixels = bytes(640 * 360 * 3)
    for frame_id in range(1, 60):
        frame = Frame(
            frame_id=frame_id, size=hello.size, stride=1920, pixel_format=hello.pixel_format
        )
        peer.send([encode(frame), pixels], timeout_s=10)
    assert stream(service.endpoint, CASES[5])
    peer.close()


def test_a_second_session_on_one_connection_gets_its_own_results(service: ServiceProcess) -> None:
    # Others use the same upscalers, so that nothing has to be compiled.
    others = [Client(service.endpoint, size=(640, 360), method=name) for name in ("", "nearest")]
    slow = replace(HELLO, size=Size(640, 360), method="")
    quick = replace(slow, method="nearest")
    frame = Frame(frame_id=1, size=slow.size, stride=1920, pixel_format=slow.pixel_format)
    for _ in range(5):
        peer = DealerTransport(service.endpoint)
        assert isinstance(ask(peer, [encode(slow)])[0], Welcome)
        peer.send([encode(frame), bytes(640 * 360 * 3)], timeout_s=5)
        peer.send([encode(Bye())], timeout_s=5)
        # The first frame is still being upscaled when the second session opens.
        peer.send([encode(quick)], timeout_s=5)
        answers = []
        while not answers or not isinstance(answers[-1], Welcome):
            answer = peer.receive(20)
            assert answer is not None
            answers.append(decode(answer[0]))
        peer.send([encode(frame), bytes([9]) * (640 * 360 * 3)], timeout_s=5)
        answer = peer.receive(20)
        assert answer is not None
        assert bytes(answer[1][:3]) == b"\x09\x09\x09"
        # The first may have been returned before BYE came.
        assert len(answers) <= 2
        peer.close()
    for other in others:
        other.close()


def test_sessions_opened_and_left_do_not_delay_others() -> None:
    with ServiceProcess() as service:
        peer = DealerTransport(service.endpoint)
        for width in range(100, 160):
            peer.send([encode(replace(HELLO, size=Size(width, 90), method=""))], timeout_s=5)
            peer.send([encode(Bye())], timeout_s=5)
        with Client(service.endpoint, size=(32, 18), method="nearest", timeout_s=20) as client:
            assert client.welcome.method == "nearest"
        peer.close()
    assert "failed" not in service.log()


def test_a_client_that_pauses_keeps_its_session(tmp_path: Path) -> None:
    """Hundreds of keepalives, more than any high-water mark, while the client does not read."""
    catalogue = Catalogue(methods=["nearest"])
    limits = Limits(keepalive_s=0.002, longest_keepalive_s=0.002)
    service = Service(f"ipc://{tmp_path}/upscaler", catalogue, limits=limits)
    thread = threading.Thread(target=service.run)
    thread.start()
    with Client(service.endpoint, size=(64, 36)) as client:
        time.sleep(1.5)
        assert client.upscale(np.zeros((36, 64, 3), np.uint8)).shape == (72, 128, 3)
    service.stop()
    thread.join(30)
    assert not thread.is_alive()


VANISHING = """
import os, signal, sys
import numpy as np
from upscaler.client import Client
client = Client(sys.argv[1], size=(640, 360), method="fsr1", credits=8)
for _ in range(8):
    client.submit(np.zeros((360, 640, 3), np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_client_killed_in_mid_frame_is_forgotten() -> None:
    with ServiceProcess() as service:
        killed = subprocess.run([sys.executable, "-c", VANISHING, service.endpoint], check=False)
        assert killed.returncode == -signal.SIGKILL
        deadline = time.monotonic() + 30
        while " left after " not in service.log():
            assert time.monotonic() < deadline, service.log()
            assert stream(service.endpoint, CASES[5])
        assert "Traceback" not in service.log()


def upscale_until_it_fails(client: Client) -> None:
    for _ in range(10000):
        client.upscale(np.zeros((36, 64, 3), np.uint8))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_service_ends_cleanly_and_says_goodbye(number: signal.Signals) -> None:
    with ServiceProcess() as service:
        client = Client(service.endpoint, size=(64, 36), method="nearest")
        service.send_signal(number)
        with pytest.raises(ServiceError, match="shut down") as caught:
            upscale_until_it_fails(client)
        assert caught.value.code is ErrorCode.SHUTTING_DOWN
        client.close()
        assert service.close() == 0
        assert "Traceback" not in service.log()


@pytest.mark.skipif(sys.platform != "linux", reason="signals one thread as Linux can")
def test_a_signal_that_does_not_wake_the_main_thread_ends_the_service() -> None:
    with ServiceProcess(["--method", "nearest"]) as service:
        with Client(service.endpoint, size=(64, 36)) as client:
            client.upscale(np.zeros((36, 64, 3), np.uint8))
        libc = ctypes.CDLL(None, use_errno=True)
        for task in Path(f"/proc/{service.pid}/task").iterdir():
            status = (task / "status").read_text()
            mask = int(status.partition("SigBlk:")[2].split(maxsplit=1)[0], 16)
            blocked = mask >> (signal.SIGTERM - 1) & 1
            if int(task.name) != service.pid and not blocked:  # ZeroMQ's threads block all
                number = int(signal.SIGTERM)
                assert libc.tgkill(service.pid, int(task.name), number) == 0
                service.send_signal(0)  # so that `close` only waits
                break
        else:
            pytest.fail("no other thread of the service takes signals")
        assert service.close() == 0


def test_nobody_there_is_said_within_the_timeout(tmp_path: Path) -> None:
    with pytest.raises(ServiceTimeoutError, match=r"did not answer within 0\.2 s; is `upscaler"):
        Client(f"ipc://{tmp_path}/nobody", size=(64, 36), timeout_s=0.2)


def test_ipc_is_for_its_owner_alone_and_is_not_stolen(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/upscaler"
    with ServiceProcess(["--method", "nearest"], bind=endpoint):
        assert (tmp_path / "upscaler").stat().st_mode & 0o077 == 0
        assert stream(endpoint, CASES[5])
        with pytest.raises(ServiceError, match="another service is listening there"):
            ServiceProcess(["--method", "nearest"], bind=endpoint)
        assert stream(endpoint, CASES[5])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the NPU is emulated on x86_64 only")
def test_an_emulated_npu_is_called_emulated_everywhere() -> None:
    with ServiceProcess(["--engine", "npu"]) as service:
        assert any("npu" in line and "EMULATED" in line for line in service.banner)
        with Client(service.endpoint, size=(64, 36), timeout_s=120) as client:
            assert client.welcome.emulated
            assert "emulated" in client.welcome.device
            emulated = client.upscale(game_frame(Size(64, 36), parse_format("rgb8")))
    reference = expected(CASES[0], game_frame(Size(64, 36), parse_format("rgb8")))
    assert np.abs(emulated.astype(int) - reference).max() <= 5


def test_a_service_may_offer_some_methods_only() -> None:
    with ServiceProcess(["--method", "fsr1", "--method", "nearest"]) as service:
        assert "engine    none: filters only" in service.banner
        with Client(service.endpoint, size=(8, 8)) as client:
            assert client.welcome.method == "fsr1"
        with pytest.raises(ServiceError, match="choose one of fsr1, nearest"):
            Client(service.endpoint, size=(8, 8), method="bicubic")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "cuda"], "unknown engine 'cuda'"),
        (["--bind", "nonsense"], "'nonsense' is no endpoint"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(ServiceError) as caught:
        ServiceProcess(arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_port_in_use_is_named(service: ServiceProcess) -> None:
    with pytest.raises(ServiceError, match=f"cannot listen on {service.endpoint}"):
        ServiceProcess(bind=service.endpoint)
