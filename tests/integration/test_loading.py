"""Replacing a model while frames flow; asking a service what runs; scraping it."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import ErrorCode, ServiceError, ServiceTimeoutError
from protocol.frames import PixelFormat, Size
from protocol.messages import Failure, Load, decode, encode
from upscaler.bench.frames import game_frame
from upscaler.client import Client
from upscaler.control import Control
from upscaler.models.library import Model, model_for
from upscaler.service.process import ServiceProcess
from upscaler.service.token import token_path
from upscaler.transport import DealerTransport

SIZE = (64, 36)
FRAME = game_frame(Size(*SIZE), PixelFormat.RGB8)


def test_a_model_is_replaced_between_two_frames(make_model: Callable[..., Model]) -> None:
    other = make_model(Fraction(2), noise=0.05)
    with ServiceProcess() as service, Client(service.endpoint, size=SIZE) as client:
        before = client.upscale(FRAME).copy()
        loaded = threading.Event()
        reports = []

        def load() -> None:
            with Control(service.endpoint) as control:
                reports.append(control.load_model(str(other.path)))
            loaded.set()

        thread = threading.Thread(target=load)
        thread.start()
        results, last = [], False
        while not last:
            last = loaded.is_set()
            results.append(client.upscale(FRAME).copy())
        thread.join()
        after = results[-1]
        assert not np.array_equal(before, after)
        # Each frame is wholly of one model, and none comes from the first after the second.
        kinds = [np.array_equal(result, after) for result in results]
        assert all(
            new or np.array_equal(result, before)
            for new, result in zip(kinds, results, strict=True)
        )
        assert kinds == sorted(kinds)
        told = client.stats()
        assert (told.dropped, told.failed, told.lost) == (0, 0, 0)
        assert other.card.weights_sha256 in {each.weights_sha256 for each in reports[0].models}
        with Client(service.endpoint, size=(32, 18)) as later:
            assert later.welcome.method == "quicksrnet-small"
        shipped = model_for("quicksrnet-small", Fraction(2))
        with Control(service.endpoint) as control:
            control.load_model(shipped.card.name)
        assert np.array_equal(client.upscale(FRAME), before)


def test_a_model_that_cannot_be_loaded_changes_nothing(
    service: ServiceProcess, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"noise")
    with Client(service.endpoint, size=SIZE) as client, Control(service.endpoint) as control:
        before = client.upscale(FRAME).copy()
        for name, words in (
            (str(broken), "broken.onnx is no readable ONNX model"),
            ("dlss-x2", "unknown model 'dlss-x2'"),
            (str(tmp_path / "none.onnx"), "there is no model file"),
        ):
            with pytest.raises(ServiceError, match=words) as caught:
                control.load_model(name)
            assert caught.value.code is ErrorCode.UNKNOWN_MODEL
        assert np.array_equal(client.upscale(FRAME), before)


def test_only_the_owner_loads_models(service: ServiceProcess) -> None:
    peer = DealerTransport(service.endpoint)
    for token in ("", "wrong", "0" * 64):
        peer.send([encode(Load(token=token)), b"quicksrnet-small-x2"], timeout_s=5)
        answer = peer.receive(20)
        assert answer is not None
        failure = decode(answer[0])
        assert isinstance(failure, Failure)
        assert failure.code == ErrorCode.NOT_ALLOWED
    peer.close()
    assert token_path(service.endpoint).stat().st_mode & 0o077 == 0
    with Control("tcp://127.0.0.1:1") as nobody, pytest.raises(ServiceError, match="no token for"):
        nobody.load_model("quicksrnet-small-x2")


def test_a_service_that_stops_takes_its_token_along() -> None:
    with ServiceProcess(["--method", "nearest"]) as service:
        path = token_path(service.endpoint)
        assert path.exists()
    assert not path.exists()


def test_a_report_says_what_runs_for_whom(service: ServiceProcess) -> None:
    with (
        Client(service.endpoint, size=SIZE, fallback="fsr1", name="quake") as client,
        Control(service.endpoint) as control,
    ):
        for _ in range(3):
            client.upscale(FRAME)
        report = control.report()
        assert report.pid == service.pid
        assert report.engine is not None
        assert not report.engine.emulated
        (mine,) = [each for each in report.clients if each.name == "quake"]
        assert (mine.method, mine.fallback) == ("quicksrnet-small", "fsr1")
        assert (mine.size, mine.upscaled, mine.transport) == ("64x36", "128x72", "shared memory")
        assert mine.statistics.frames == 3
        assert mine.statistics.stages["upscaled"].p50_ms > 0
        assert report.totals["quicksrnet-small"].upscaled >= 3
    with Control("tcp://127.0.0.1:1") as nobody, pytest.raises(ServiceTimeoutError):
        nobody.report(timeout_s=0.2)


def test_prometheus_reads_the_metrics() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    with ServiceProcess(["--method", "nearest", "--metrics", "0"]) as service:
        (line,) = [line for line in service.banner if line.startswith("metrics")]
        url = line.split()[1]
        with Client(service.endpoint, size=SIZE) as client:
            for _ in range(5):
                client.upscale(FRAME)
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http
                text = answer.read().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["upscaler_up",] == 1
    assert samples["upscaler_clients",] == 1
    assert samples["upscaler_frames_total", "nearest", "upscaled"] == 5
    assert samples["upscaler_stage_seconds_count", "nearest", "upscaled"] == 5
    assert samples["upscaler_stage_seconds_bucket", "+Inf", "nearest", "upscaled"] == 5
    assert 0 < samples["upscaler_stage_seconds_sum", "nearest", "upscaled"] < 1


def test_a_metrics_port_in_use_is_named() -> None:
    with ServiceProcess(["--method", "nearest", "--metrics", "0"]) as service:
        (line,) = [line for line in service.banner if line.startswith("metrics")]
        port = line.split(":")[2].split("/")[0]
        with pytest.raises(ServiceError, match=f"cannot serve metrics on port {port}"):
            ServiceProcess(["--method", "nearest", "--metrics", port])
