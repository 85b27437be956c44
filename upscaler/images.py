"""Image files through OpenCV: 8 bits, BGR or BGRA, errors that name the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from protocol.errors import BadImageError
from upscaler.contract import Frame

ALPHA_SUFFIXES = (".png", ".webp", ".tif", ".tiff")
"""File types that can store alpha."""
PNG_START, PNG_END = b"\x89PNG", b"IEND"


def read_image(path: Path) -> Frame:
    """Return (height, width, 3 or 4) uint8 in BGR or BGRA; 4 channels only where alpha is stored.

    Greyscale becomes BGR, 16 bits become 8, and a photograph's orientation is applied. Raises
    BadImageError, naming the file and the reason.
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


def _decode(encoded: Frame, flags: int) -> Frame | None:
    import cv2

    try:
        decoded: Frame | None = cv2.imdecode(encoded, flags)
    except cv2.error:  # OpenCV throws for an empty buffer and some damaged headers
        return None
    return decoded
