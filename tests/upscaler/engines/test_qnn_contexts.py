"""Contexts of the NPU, kept in the cache and compiled ahead: on Qualcomm's emulation on x86_64."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import BadRequestError, EngineError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.contract import Upscaler
from upscaler.engines.contexts import add_entry, make_entry, read_manifest, write_manifest
from upscaler.engines.npu_options import NpuOptions, NpuSettings
from upscaler.engines.qnn import QnnEngine, has_npu
from upscaler.engines.socs import Soc, find_soc
from upscaler.models.library import Model

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")

MakeModel = Callable[..., Model]
SIZE = Size(64, 32)
SM8650 = find_soc("sm8650")
emulated_only = pytest.mark.skipif(has_npu(), reason="written for the emulator, where it was run")


def upscale(upscaler: Upscaler, src: np.ndarray) -> np.ndarray:
    dst = np.zeros(upscaler.output_shape, np.uint8)
    upscaler(np.ascontiguousarray(src), dst)
    return dst


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def ahead(make_model: MakeModel, tmp_path: Path) -> tuple[Model, Path]:
    """A model, and a folder with its contexts for SM8650: at 64x32, rgb8."""
    if not QnnEngine().emulated:
        pytest.skip("contexts are compiled on x86_64")
    model, folder = make_model(Fraction(2)), tmp_path / "contexts"
    folder.mkdir()
    add_entry(folder, QnnEngine().compile(model, SIZE, PixelFormat.RGB8, [SM8650], folder))
    return model, folder


def engine_for(folder: Path, soc: Soc = SM8650, **options: Any) -> QnnEngine:
    return QnnEngine(NpuSettings(contexts=folder, options=NpuOptions(soc=soc, **options)))


@emulated_only
def test_a_warm_cache_gives_the_same_results(
    make_model: MakeModel, picture: np.ndarray, cache: Path
) -> None:
    model, settings = make_model(Fraction(2)), NpuSettings(cache=cache)
    cold = QnnEngine(settings).load(model, SIZE, PixelFormat.RGBA8)
    expected = upscale(QnnEngine().load(model, SIZE, PixelFormat.RGBA8), picture)
    (folder,) = cache.iterdir()
    written = {path: path.stat().st_mtime_ns for path in folder.glob("context*")}
    warm = QnnEngine(settings).load(model, SIZE, PixelFormat.RGBA8)
    assert "kept in" in cold.certificate.context
    assert warm.certificate.context == f"cache, {folder}"
    assert warm.certificate.summary == cold.certificate.summary
    assert "no node on the CPU" in warm.certificate.summary
    assert {path: path.stat().st_mtime_ns for path in folder.glob("context*")} == written
    for upscaler in (cold, warm):
        assert np.array_equal(upscale(upscaler, picture), expected)
        upscaler.close()


@emulated_only
def test_what_changes_a_context_has_one_of_its_own(
    make_model: MakeModel, turned: Callable[[Model], Model], cache: Path
) -> None:
    model = make_model(Fraction(2))

    def load(size: Size = SIZE, colour: PixelFormat = PixelFormat.RGB8, **options: Any) -> None:
        settings = NpuSettings(cache=cache, options=NpuOptions(**options))
        QnnEngine(settings).load(model, size, colour).close()

    load()
    load(performance_mode="balanced", context_priority="high", idle_after_s=9)
    assert len(list(cache.iterdir())) == 1
    load(Size(32, 32))
    load(colour=PixelFormat.BGR8)
    load(vtcm_mb=4)
    load(optimization=1)
    load(soc=find_soc("sm8650"))
    assert len(list(cache.iterdir())) == 6
    turned(model)  # the same weights in another graph
    load()
    assert len(list(cache.iterdir())) == 7


@emulated_only
def test_a_damaged_cache_is_compiled_again(
    make_model: MakeModel, picture: np.ndarray, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, settings = make_model(Fraction(2)), NpuSettings(cache=cache)
    expected = upscale(QnnEngine(settings).load(model, SIZE, PixelFormat.RGB8), picture[..., :3])
    (binary,) = cache.glob("*/context_qnn.bin")
    good = binary.read_bytes()
    # The library itself loads this one and says nothing.
    binary.write_bytes(good[:5000] + bytes([good[5000] ^ 255]) + good[5001:])
    again = QnnEngine(settings).load(model, SIZE, PixelFormat.RGB8)
    assert np.array_equal(upscale(again, picture[..., :3]), expected)
    assert "is damaged or another" in caplog.text
    assert binary.read_bytes() != good[:5000] + bytes([good[5000] ^ 255]) + good[5001:]


@emulated_only
def test_a_cache_that_the_library_does_not_take_is_compiled_again(
    make_model: MakeModel, cache: Path
) -> None:
    model, settings = make_model(Fraction(2)), NpuSettings(cache=cache)
    QnnEngine(settings).load(model, SIZE, PixelFormat.RGB8).close()
    (folder,) = cache.iterdir()
    entry = read_manifest(folder).entries[0]
    (folder / "context_qnn.bin").write_bytes(b"a context of another driver")
    write_manifest(folder, [make_entry(entry.purpose, folder, list(entry.files), entry.graphs)])
    again = QnnEngine(settings).load(model, SIZE, PixelFormat.RGB8)
    assert "compiled when loaded, kept in" in again.certificate.context


@emulated_only
def test_a_cache_that_cannot_be_written_is_said_and_done_without(
    make_model: MakeModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    settings = NpuSettings(cache=tmp_path / "file" / "cache")
    upscaler = QnnEngine(settings).load(make_model(Fraction(2)), SIZE, PixelFormat.RGB8)
    assert upscaler.certificate.context == "compiled when loaded"
    assert "not writable" in caplog.text
    assert "UPSCALER_CACHE_DIR" in caplog.text


def test_a_context_compiled_ahead_gives_the_same_results(
    ahead: tuple[Model, Path], picture: np.ndarray
) -> None:
    model, folder = ahead
    loaded = engine_for(folder).load(model, SIZE, PixelFormat.RGB8)
    fresh = QnnEngine(NpuSettings(options=NpuOptions(soc=SM8650))).load(
        model, SIZE, PixelFormat.RGB8
    )
    assert np.array_equal(upscale(loaded, picture[..., :3]), upscale(fresh, picture[..., :3]))
    assert loaded.certificate.context == str(folder / "example-2-1-w8a8-64x32-rgb8-sm8650.onnx")
    assert loaded.certificate.operators == fresh.certificate.operators
    assert sorted(path.name for path in folder.iterdir()) == [
        "example-2-1-w8a8-64x32-rgb8-sm8650.onnx",
        "example-2-1-w8a8-64x32-rgb8-sm8650_qnn.bin",
        "manifest.json",
    ]


def test_a_context_for_something_else_is_an_error_with_the_remedy(
    ahead: tuple[Model, Path], make_model: MakeModel, turned: Callable[[Model], Model]
) -> None:
    model, folder = ahead
    engine, rgb = engine_for(folder), PixelFormat.RGB8
    with pytest.raises(
        EngineError, match=r"are for SM8650 \(.*\), and this is SM8750 .*--soc SM8750"
    ):
        engine_for(folder, find_soc("8 elite"))
    with pytest.raises(BadRequestError, match="for frames of 64x32, not 32x32; compile one") as no:
        engine.load(model, Size(32, 32), rgb)
    assert no.value.code is ErrorCode.UNSUPPORTED_SIZE
    with pytest.raises(BadRequestError, match="64x32 for rgb8, not bgra8; compile one") as no:
        engine.load(model, SIZE, PixelFormat.BGRA8)
    assert no.value.code is ErrorCode.UNSUPPORTED_FORMAT
    with pytest.raises(EngineError, match="no context of example-2-1-w8a8 with the weights"):
        engine.load(make_model(Fraction(2), noise=0.02), SIZE, rgb)
    with pytest.raises(EngineError, match="compiled for vtcm_mb all, not 4"):
        engine_for(folder, vtcm_mb=4).load(make_model(Fraction(2)), SIZE, rgb)
    with pytest.raises(EngineError, match="another version of upscaler built its graph"):
        engine.load(turned(make_model(Fraction(2))), SIZE, rgb)


def test_a_context_of_other_libraries_is_an_error(ahead: tuple[Model, Path]) -> None:
    _, folder = ahead
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("2.51.0", "2.47.0"))
    with pytest.raises(EngineError, match=r"compiled by .*QAIRT 2\.47\.0, and here is .*2\.51"):
        engine_for(folder)


def test_a_damaged_context_is_an_error_and_stays(ahead: tuple[Model, Path]) -> None:
    model, folder = ahead
    (binary,) = folder.glob("*.bin")
    binary.write_bytes(binary.read_bytes()[:-1])
    with pytest.raises(EngineError, match=f"{binary.name} is damaged.*; compile one: upscaler npu"):
        engine_for(folder).load(model, SIZE, PixelFormat.RGB8)
    binary.unlink()
    with pytest.raises(EngineError, match=r"cannot be read \(No such file or directory\); compile"):
        engine_for(folder).load(model, SIZE, PixelFormat.RGB8)


def test_one_context_for_several_chips_is_built_and_not_emulated(
    ahead: tuple[Model, Path],
) -> None:
    model, folder = ahead
    chips = [find_soc("sm8550"), find_soc("sm8750")]
    entry = QnnEngine().compile(model, SIZE, PixelFormat.RGB8, chips, folder)
    add_entry(folder, entry)
    assert entry.purpose.socs == tuple(chips)
    alone = read_manifest(folder).entries[0]
    assert entry.bytes > 1.5 * alone.bytes
    with pytest.raises(EngineError, match="for several chips, which the emulator does not load"):
        engine_for(folder, chips[0]).load(model, SIZE, PixelFormat.RGB8)
