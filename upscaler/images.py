"""Image files through OpenCV: 8 bits, BGR or BGRA, errors that name the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadImageError
from upscaler.contract import Frame

IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
"""File types that are looked for in folders."""
ALPHA_SUFFIXES = (".png", ".webp", ".tif", ".tiff")
"""File types that can store alpha."""
PEAK = 255
PNG_START, PNG_END = b"\x89PNG", b"IEND"


def read_image(path: Path) -> Frame:
    """Return (height, width, 3 or 4) uint8 in BGR or BGRA; 4 channels only where alpha is stored.

    Greyscale becomes BGR, 16 bits become 8, floats in 0..1 become 8 bits, and a photograph's
    orientation is applied. Raises BadImageError, naming the file and the reason.
    """
    import cv2

    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}"
        raise BadImageError(msg) from error
    if encoded[:4].tobytes() == PNG_START and PNG_END not in encoded[-64:].tobytes():
        # OpenCV would show the part that there is, and libpng complain on its own.
        msg = f"{path} is cut short: a PNG without its end"
        raise BadImageError(msg)
    image = _decode(encoded, cv2.IMREAD_UNCHANGED)
    if image is not None and image.dtype.kind == "f":
        return _from_float(path, image)
    if image is not None and not (image.ndim == 3 and image.shape[2] == 4):
        # Of the two decodings, only this one applies the orientation and reduces to 8 bits.
        image = _decode(encoded, cv2.IMREAD_COLOR)
    if image is None:
        msg = f"{path} is not an image that OpenCV can read (empty, damaged or another format)"
        raise BadImageError(msg)
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        msg = f"{path} holds {image.dtype} pixels; convert it to 8 or 16 bits first"
        raise BadImageError(msg)
    return image


def images_under(root: Path) -> dict[str, Path]:
    """Images under a folder by their path in it without the suffix, with forward slashes.

    In the order of their names: frame 10 after frame 9, with or without leading zeros. Hidden ones
    are left out. Raises BadImageError, naming the folder or file, when there is no folder or no
    image, or when two images differ by their type alone.
    """
    if not root.is_dir():
        msg = f"{root} is no folder; name the folder of the frames"
        raise BadImageError(msg)
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*"), key=lambda path: natural_order(path.as_posix())):
        inside = path.relative_to(root)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        stem = inside.with_suffix("").as_posix()
        if stem in found:
            msg = f"{path} and {found[stem].name} differ by their type alone; keep one"
            raise BadImageError(msg)
        found[stem] = path
    if not found:
        msg = f"{root} has no image ({', '.join(IMAGE_SUFFIXES)})"
        raise BadImageError(msg)
    return found


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by their value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def write_image(path: Path, image: Frame) -> None:
    """Write BGR or BGRA uint8; the suffix chooses the format, WebP is lossless, JPEG quality 95.

    The file appears whole or not at all. Raises BadImageError for an unknown suffix, for alpha in
    a format without it, and when the file cannot be written.
    """
    import cv2

    suffix = path.suffix.lower()
    if image.shape[2] == 4 and suffix not in ALPHA_SUFFIXES:
        msg = f"{path} cannot store alpha; write to one of {', '.join(ALPHA_SUFFIXES)}"
        raise BadImageError(msg)
    parameters = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
        ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # above 100 is lossless
    }.get(suffix, [])
    try:
        written, encoded = cv2.imencode(suffix or ".", image, parameters)
    except cv2.error:
        written = False
    if not written:
        msg = f"{path}: OpenCV cannot write {suffix or 'a file without a suffix'}; use .png"
        raise BadImageError(msg)
    draft = path.with_name(f".{path.name}.draft")
    try:
        encoded.tofile(draft)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        msg = f"cannot write {path}: {error.strerror or error}"
        raise BadImageError(msg) from error


def _from_float(path: Path, image: NDArray[Any]) -> Frame:
    """Round floats in 0..1 to 8 bits; they are taken for sRGB, as all pictures are."""
    if not (image.min() >= 0 and image.max() <= 1):  # false for NaN too
        msg = (
            f"{path} holds floats from {image.min():g} to {image.max():g}, and only 0 to 1 is a "
            "picture here; tone-map it first"
        )
        raise BadImageError(msg)
    levels = np.rint(image * PEAK).astype(np.uint8)
    planes = levels if levels.ndim == 3 else levels[:, :, None]
    colours = np.repeat(planes, 3, axis=2) if planes.shape[2] == 1 else planes
    return np.ascontiguousarray(colours)


def _decode(encoded: Frame, flags: int) -> Frame | None:
    import cv2

    try:
        decoded: Frame | None = cv2.imdecode(encoded, flags)
    except cv2.error:  # OpenCV throws for an empty buffer and some damaged headers
        return None
    return decoded
