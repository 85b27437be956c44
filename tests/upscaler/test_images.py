from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from protocol.errors import BadImageError
from upscaler.contract import Frame
from upscaler.images import images_under, read_image, write_image


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp"])
def test_lossless_formats_return_what_was_written(
    tmp_path: Path, frame: Frame, suffix: str
) -> None:
    path = tmp_path / f"image{suffix}"
    write_image(path, frame)
    assert np.array_equal(read_image(path), frame)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_alpha_survives(tmp_path: Path, frame: Frame, suffix: str) -> None:
    alpha = np.arange(frame.shape[0] * frame.shape[1], dtype=np.uint8).reshape(*frame.shape[:2], 1)
    image = np.concatenate([frame, alpha], axis=2)
    write_image(tmp_path / f"image{suffix}", image)
    assert np.array_equal(read_image(tmp_path / f"image{suffix}")[:, :, 3], image[:, :, 3])


def test_greyscale_and_16_bits_become_bgr_in_8_bits(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    assert np.array_equal(read_image(tmp_path / "grey.png")[:, :, 1], grey)
    deep = np.dstack([grey.astype(np.uint16) * 257] * 4)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert np.array_equal(read_image(tmp_path / "deep.png"), np.dstack([grey] * 4))


@pytest.mark.parametrize("content", [b"", b"\x89PN", b"RIFF....WEBP", b"text"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.png"
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=r"damaged\.png is not an image"):
        read_image(path)


def test_a_png_that_was_cut_short_is_named(
    tmp_path: Path, frame: Frame, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.png"
    write_image(path, frame)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadImageError, match=r"cut\.png is cut short"):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path, frame: Frame) -> None:
    with pytest.raises(BadImageError, match=r"nothing\.png: No such file"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(BadImageError, match=r"cannot read .*: Is a directory"):
        read_image(tmp_path)
    alpha = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(BadImageError, match=r"a\.jpg cannot store alpha"):
        write_image(tmp_path / "a.jpg", alpha)
    for name in ("a.xyz", "a"):
        with pytest.raises(BadImageError, match="OpenCV cannot write"):
            write_image(tmp_path / name, frame)
    with pytest.raises(BadImageError, match="cannot write"):
        write_image(tmp_path / "no" / "a.png", frame)
    assert not list(tmp_path.iterdir())


def test_floats_in_0_to_1_become_8_bits(tmp_path: Path) -> None:
    levels = np.arange(192, dtype=np.float32).reshape(8, 8, 3)
    cv2.imwrite(str(tmp_path / "float.tif"), levels / 255)
    assert np.array_equal(read_image(tmp_path / "float.tif"), levels)
    cv2.imwrite(str(tmp_path / "grey.tif"), levels[:, :, 0] / 255)
    assert np.array_equal(read_image(tmp_path / "grey.tif")[:, :, 2], levels[:, :, 0])


@pytest.mark.parametrize(
    ("value", "words"), [(1.5, "to 1.5"), (-0.1, "from -0.1"), (np.nan, "nan")]
)
def test_floats_out_of_range_are_named(tmp_path: Path, value: float, words: str) -> None:
    picture = np.full((8, 8, 3), 0.5, np.float32)
    picture[2, 3, 1] = value
    cv2.imwrite(str(tmp_path / "bad.tif"), picture)
    with pytest.raises(BadImageError, match=rf"bad\.tif holds floats .*{words}.*tone-map"):
        read_image(tmp_path / "bad.tif")


def test_images_of_a_folder_come_in_the_order_of_numbers(tmp_path: Path, frame: Frame) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("10.png", "9.png", "a/2.webp", ".hidden/1.png"):
        write_image(tmp_path / name, frame)
    assert list(images_under(tmp_path)) == ["9", "10", "a/2"]
    write_image(tmp_path / "9.webp", frame)
    with pytest.raises(BadImageError, match=r"9\.webp and 9\.png differ by their type alone"):
        images_under(tmp_path)
