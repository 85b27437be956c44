"""The whole way, on real frames: what is measured, written and kept."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest

from protocol.errors import BadImageError
from upscaler.compare.inputs import Shot, find_shots
from upscaler.compare.measure import Plan
from upscaler.compare.methods import contestants
from upscaler.compare.results import Comparison
from upscaler.compare.run import compare
from upscaler.images import read_image
from upscaler.metrics import flip_mean, psnr_db, ssim_rgb

KEYS = ("fsr1", "bicubic", "quicksrnet-small@onnxruntime")


def plan_for(out: Path, *, pictures: int = 24, keep_going: bool = False) -> Plan:
    return Plan(
        contestants=contestants(KEYS, engines=["onnxruntime"], threads=1),
        scale=Fraction(2),
        out=out,
        pictures=pictures,
        flip=True,
        keep_going=keep_going,
    )


def listed(
    low: Path, high: Path | None, *, sequence: bool = False, lonely: bool = False
) -> Iterator[Shot]:
    return find_shots(
        low, high, scale=Fraction(2), split="test", sequence=sequence, lonely=lonely
    ).frames


def test_figures_are_those_of_the_pictures(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = compare(listed(*pairs), plan_for(out), threads=1)
    assert msgspec.json.decode((out / "report.json").read_bytes(), type=Comparison) == found
    assert (found.scale, len(found.frames), found.failures) == ("2x", 3, [])
    for frame in found.frames:
        native = read_image(out / frame.pictures["native"])
        assert np.array_equal(native, read_image(pairs[1] / f"{frame.name}.png"))
        for key in KEYS:
            picture = read_image(out / frame.pictures[key])
            figures = frame.methods[key]
            assert figures["psnr_db"] == psnr_db(picture, native)
            assert figures["ssim"] == ssim_rgb(picture, native)
            expected = flip_mean(picture[:, :, ::-1], native[:, :, ::-1])
            assert figures["flip"] == pytest.approx(expected, abs=1e-6)
            assert read_image(out / frame.flip_maps[key]).shape == native.shape
    worst_first = [frame.methods["fsr1"]["psnr_db"] for frame in found.frames]
    assert worst_first == sorted(worst_first, key=lambda psnr: psnr or 0)
    for method in found.methods:
        psnr = [frame.methods[method.key]["psnr_db"] for frame in found.frames]
        mean = method.overall["psnr_db"]
        assert mean.mean == pytest.approx(np.mean(np.array(psnr, float)))
        assert mean.low is not None
        assert mean.low < np.mean(np.array(psnr, float))
        if method.key != "fsr1":
            first = [frame.methods["fsr1"]["psnr_db"] for frame in found.frames]
            differences = np.array(psnr, float) - np.array(first, float)
            difference = method.difference["psnr_db"]
            assert difference.mean == pytest.approx(differences.mean())
            assert difference.low is not None
            assert differences.min() <= difference.low <= differences.mean()
        assert method.latency is not None
        assert method.latency.input_size == "80x48"
        assert 0 < method.latency.least_ms <= method.latency.p50_ms <= method.latency.p95_ms
    assert [scene.name for scene in found.scenes] == ["low"]


def test_pictures_of_the_worst_frames_alone_are_kept(
    pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = compare(listed(*pairs), plan_for(out, pictures=1), threads=1)
    assert [bool(frame.pictures) for frame in found.frames] == [True, False, False]
    assert [folder.name for folder in (out / "pictures").iterdir()] == [found.frames[0].name]
    kept = sorted(path.suffix for path in (out / "pictures").rglob("*.*"))
    assert kept == [".jpg"] * len(KEYS) + [".png"] * (len(KEYS) + 1)


def test_consecutive_frames_have_flicker(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    # The same frame twice: nothing moves, and so nothing flickers.
    for folder in pairs:
        (folder / "001.png").write_bytes((folder / "000.png").read_bytes())
        (folder / "002.png").unlink()
    found = compare(listed(*pairs, sequence=True), plan_for(tmp_path / "out"), threads=1)
    flicker = {frame.name: frame.methods["fsr1"].get("flicker") for frame in found.frames}
    assert flicker["000"] is None
    assert flicker["001"] == pytest.approx(0, abs=1e-3)
    assert "flicker" in found.methods[0].overall
    plain = compare(listed(*pairs), plan_for(tmp_path / "plain"), threads=1)
    assert "flicker" not in plain.methods[0].overall


def test_without_native_renders_methods_are_compared_with_one_another(
    pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    found = compare(listed(pairs[0], None), plan_for(tmp_path / "out"), threads=1)
    assert found.methods[0].overall == {}
    assert set(found.frames[0].pictures) == set(KEYS)
    assert found.frames[0].crops


def test_what_cannot_be_compared_is_named_or_left_out(
    pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    (pairs[0] / "001.png").write_bytes(b"no picture")
    (pairs[1] / "002.png").unlink()
    out = tmp_path / "out"
    with pytest.raises(BadImageError, match=r"001\.png is not an image"):
        compare(listed(*pairs, lonely=True), plan_for(out), threads=1)
    found = compare(listed(*pairs, lonely=True), plan_for(out, keep_going=True), threads=1)
    assert [frame.name for frame in found.frames] == ["000"]
    reasons = {failure.name: failure.reason for failure in found.failures}
    assert "001.png is not an image" in reasons["001"]
    assert "has none called 002" in reasons["002"]


def test_nothing_left_is_an_error(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    for file in pairs[0].iterdir():
        file.write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=r"no frame could be compared: 000: .*000\.png is not"):
        compare(listed(*pairs), plan_for(tmp_path / "out", keep_going=True), threads=1)


def test_an_interrupt_leaves_a_report_of_what_was_done(
    pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    def interrupted() -> Iterator[Shot]:
        yield from list(listed(*pairs))[:2]
        raise KeyboardInterrupt

    out = tmp_path / "out"
    plan = plan_for(out)
    with pytest.raises(KeyboardInterrupt):
        compare(interrupted(), plan, threads=1)
    written = msgspec.json.decode((out / "report.json").read_bytes(), type=Comparison)
    assert {frame.name for frame in written.frames} <= {"000", "001"}
    assert written.frames
    assert (out / "report.html").is_file()
