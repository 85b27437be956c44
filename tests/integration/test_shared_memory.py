"""Pixels in shared memory: the same results, no copies, nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import BadRequestError, ErrorCode, ServiceError
from protocol.frames import PixelFormat, Size
from protocol.messages import Frame, Hello, Transport, Welcome, encode
from upscaler import client_slots
from upscaler.bench.frames import game_frame
from upscaler.catalogue import Catalogue
from upscaler.client import Client
from upscaler.contract import Engine
from upscaler.contract import Frame as Pixels
from upscaler.engines.library import select_engine
from upscaler.models.library import Model
from upscaler.service.process import ServiceProcess
from upscaler.service.server import Service
from upscaler.shared_memory import PREFIX, folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mappings are read from /proc")

SIZE = (64, 36)


def segments() -> set[str]:
    return {path.name for path in folder().glob(f"{PREFIX}*")}


@contextmanager
def running(catalogue: Catalogue, folder: Path) -> Iterator[Service]:
    """A service on a thread of this process, whose memory tests can look at."""
    service = Service(f"ipc://{folder}/upscaler", catalogue)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("pixel_format", ["rgb8", "bgra8"])
def test_results_equal_those_of_inline_pixels(service: ServiceProcess, pixel_format: str) -> None:
    frame = game_frame(Size(*SIZE), PixelFormat[pixel_format.upper()])
    results = []
    for transport in ("shm", "inline"):
        with Client(
            service.endpoint,
            size=SIZE,
            pixel_format=pixel_format,
            transport=transport,  # type: ignore[arg-type]
        ) as client:
            results.append(client.upscale(frame).copy())
            assert client.transport == transport
            assert client.inline_reason == ""
    assert np.array_equal(*results)


@pytest.mark.parametrize("transport", ["shm", "inline"])
def test_rows_may_lie_apart(service: ServiceProcess, transport: str) -> None:
    frame = game_frame(Size(*SIZE), PixelFormat.RGBA8)
    with Client(
        service.endpoint,
        size=SIZE,
        pixel_format="rgba8",
        transport=transport,  # type: ignore[arg-type]
    ) as client:
        expected = client.upscale(frame).copy()
        padded = client.acquire(stride=512)
        assert padded.strides == (512, 4, 1)
        padded[:] = frame
        assert np.array_equal(client.upscale(padded), expected)


def test_a_slot_is_the_clients_or_the_services_and_never_both(service: ServiceProcess) -> None:
    with Client(service.endpoint, size=SIZE, method="nearest") as client:
        frame = client.acquire()
        frame[:] = 5
        client.submit(frame)
        with pytest.raises(ValueError, match="read-only"):
            frame[:] = 6
        with pytest.raises(BadRequestError, match=r"not yours to submit .*acquire\(\) another"):
            client.submit(frame)
        result = client.receive()
        assert (result.pixels == 5).all()
        held = [client.acquire() for _ in range(6)]
        with pytest.raises(BadRequestError, match=r"no slot is free .*1 with results") as caught:
            client.acquire()
        assert caught.value.code is ErrorCode.BAD_SLOT
        client.release(result)
        client.acquire()
        del held
        assert client.upscale(np.zeros((36, 64, 3), np.uint8)).sum() == 0


class Recorder:
    """A real engine, whose upscalers note where the runtime itself reads and writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.addresses: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def load(self, model: Model, size: Size, pixel_format: PixelFormat) -> Any:
        upscaler: Any = self._engine.load(model, size, pixel_format)
        infer = upscaler._infer

        def recorded(src: Pixels, dst: Pixels) -> None:
            infer(src, dst)
            self.addresses.append((runtime_input(upscaler, src), dst.ctypes.data))

        upscaler._infer = recorded
        return upscaler


def runtime_input(upscaler: Any, src: Pixels) -> int:
    """Where the runtime read its input: asked of OpenVINO; onnxruntime was bound to `src`."""
    request = getattr(upscaler, "_request", None)
    return src.ctypes.data if request is None else int(request.get_input_tensor().data.ctypes.data)


def mapping_of(address: int) -> tuple[str, int]:
    """The file that is mapped at an address of this process, and the offset in it."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        span, _, offset, _, _, *path = line.split(maxsplit=5)
        begin, end = (int(part, 16) for part in span.split("-"))
        if begin <= address < end:
            return path[0] if path else "", address - begin + int(offset, 16)
    raise AssertionError(address)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_the_runtime_reads_and_writes_the_clients_own_memory(name: str, tmp_path: Path) -> None:
    engine = Recorder(select_engine(name))
    with (
        running(Catalogue(engine=engine), tmp_path) as service,
        Client(service.endpoint, size=SIZE, pixel_format="rgba8") as client,
    ):
        frame = client.acquire()
        frame[:] = game_frame(Size(*SIZE), PixelFormat.RGBA8)
        filled = mapping_of(frame.ctypes.data)
        client.submit(frame)
        pixels = client.receive().pixels
        source, target = (mapping_of(address) for address in engine.addresses[-1])
        assert filled[0].startswith(str(folder() / PREFIX))
        assert source == filled
        assert target == mapping_of(pixels.ctypes.data)


@pytest.mark.parametrize("method", ["quicksrnet-small", "bicubic"])
def test_nothing_of_a_frames_size_is_allocated_for_a_frame(method: str, tmp_path: Path) -> None:
    """In client and service together, which share this process."""
    size = (320, 180)
    with (
        running(Catalogue(engine="openvino"), tmp_path) as service,
        Client(service.endpoint, size=size, pixel_format="rgba8", method=method) as client,
    ):

        def stream(count: int) -> None:
            for number in range(count):
                frame = client.acquire()
                frame[:] = number
                client.submit(frame)
                client.release(client.receive())

        stream(10)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        stream(50)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # Messages and times of 50 frames; a frame has 230 kB, a result 920.
        assert peak - before < size[0] * size[1] * 4 / 2


def test_what_cannot_be_mapped_travels_inline_and_that_is_said(
    service: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from another machine or container, where the segment's name means nothing."""

    def elsewhere(name: str, size: int) -> None:
        msg = f"the service's shared memory cannot be mapped here ({name}, {size})"
        raise ServiceError(msg, code=ErrorCode.UNSUPPORTED_TRANSPORT)

    monkeypatch.setattr(client_slots.Segment, "open", elsewhere)
    with Client(service.endpoint, size=SIZE, method="nearest") as client:
        assert client.transport == "inline"
        assert "cannot be mapped here" in client.inline_reason
        assert client.upscale(np.full((36, 64, 3), 9, np.uint8)).min() == 9
    with pytest.raises(ServiceError, match="cannot be mapped here"):
        Client(service.endpoint, size=SIZE, method="nearest", transport="shm")


def test_a_segment_goes_with_its_client() -> None:
    before = segments()
    with ServiceProcess() as service:
        with Client(service.endpoint, size=SIZE, method="nearest") as client:
            assert segments() - before == {client.welcome.segment}
        wait_until(lambda: segments() <= before)
        client = Client(service.endpoint, size=SIZE, method="nearest")
        assert segments() - before == {client.welcome.segment}
    assert segments() <= before
    with suppress(ServiceError):
        client.close()


HOLDING = """
import os, signal, sys
from upscaler.client import Client
client = Client(sys.argv[1], size=(640, 360), method="fsr1", credits=4)
frames = [client.acquire() for _ in range(4)]
for frame in frames[:3]:
    client.submit(frame)
print(client.welcome.segment, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_client_killed_while_it_holds_slots_leaves_nothing() -> None:
    before = segments()
    with ServiceProcess() as service:
        files = open_files(service.pid)
        done = subprocess.run(
            [sys.executable, "-c", HOLDING, service.endpoint],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        assert done.stdout.startswith(PREFIX)
        wait_until(lambda: segments() <= before, service)
        wait_until(lambda: done.stdout.strip() not in mapped_files(service.pid), service)
        wait_until(lambda: open_files(service.pid) <= files, service)
        with Client(service.endpoint, size=SIZE, method="nearest") as client:
            assert client.upscale(np.zeros((36, 64, 3), np.uint8)).sum() == 0


def test_a_killed_services_segments_are_removed_by_the_next() -> None:
    before = segments()
    with ServiceProcess() as service:
        client = Client(service.endpoint, size=SIZE, method="nearest")
        service.send_signal(signal.SIGKILL)
        service.close()
    assert segments() - before == {client.welcome.segment}
    with ServiceProcess():
        assert segments() <= before
    client.close()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"slot": 7}, ErrorCode.BAD_SLOT, "slot 7, which is out of range"),
        ({"stride": 23}, ErrorCode.PIXELS_MISMATCH, "stride of 23"),
        ({"stride": 2**31}, ErrorCode.PIXELS_MISMATCH, f"stride of {2**31}"),
        ({"size": Size(8, 5)}, ErrorCode.PIXELS_MISMATCH, "8x5 rgb8, but the session is 8x4"),
        ({"submitted_ns": 5, "deadline_ns": 4}, ErrorCode.STALE_DEADLINE, "after its deadline"),
    ],
)
def test_a_header_that_lies_costs_its_sender_an_error(
    raw_peer: Any, changes: dict[str, Any], code: ErrorCode, words: str
) -> None:
    hello = Hello(
        size=Size(8, 4),
        scale=2,  # type: ignore[arg-type]
        pixel_format=PixelFormat.RGB8,
        method="nearest",
        transport=Transport.SHARED_MEMORY,
    )
    welcome, _ = raw_peer.ask([encode(hello)])
    assert isinstance(welcome, Welcome)
    fields = {"frame_id": 1, "size": hello.size, "stride": 24, "slot": 0} | changes
    answer, sentence = raw_peer.ask([encode(Frame(pixel_format=hello.pixel_format, **fields))])
    assert (answer.code, answer.frame_id) == (code, 1)
    assert words in sentence
    fields = {"frame_id": 2, "size": hello.size, "stride": 24, "slot": 0}
    answer, _ = raw_peer.ask([encode(Frame(pixel_format=hello.pixel_format, **fields))])
    assert answer.frame_id == 2


def wait_until(condition: Any, service: ServiceProcess | None = None) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, service and service.log()
        time.sleep(0.02)


def mapped_files(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
