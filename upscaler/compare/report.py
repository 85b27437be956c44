"""The report: one HTML file that needs no network, no server and no file beside it.

Twenty frames of 1080p are some 100 MB of HTML, so the file is written piece by piece. The numbers
stand in it as JSON; each picture is a block of base64 that the page turns into an image when its
frame comes near the window. Whole pictures and FLIP maps are JPEG, for their size; the zoomed crops
are PNG, since single pixels are what they are for.

Names of scenes, methods and files are the user's and may hold anything. They reach the page as JSON
without a "<", and the script puts them there as text, never as markup.
"""

from __future__ import annotations

import html
import math
import re
from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from protocol.errors import BadImageError
from upscaler.compare.results import NATIVE, Comparison, Crop
from upscaler.contract import Frame

STYLE = "page.css"
SCRIPTS = ("plot.js", "cards.js", "page.js")
JPEG_QUALITY = 92
THREADS = 2
ENCODED_AHEAD = 2 * THREADS
"""Pictures that are encoded or wait to be written; about 10 MB each while they are encoded."""

Block = tuple[str, bytes]
"""The id of a picture in the page, and the file that it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """A picture to embed, whole under `block` and each crop under its own id."""

    path: Path
    block: str
    crops: dict[str, Crop]
    encoded: Embedded | None


Embedded = list[bytes]
"""Files as they are embedded: a picture as JPEG, then its crops as PNG."""


def write_report(
    path: Path, comparison: Comparison, *, shown: int, encoded: Mapping[str, Embedded] | None = None
) -> None:
    """Write the page for `comparison`; the file appears whole or not at all.

    The pictures of the first `shown` frames (0 or more) are embedded; other frames appear in
    tables. `encoded` holds what `encode_picture` made of them, by their path in the comparison;
    others are read from their files, which lie relative to the folder of `path`. Raises
    BadImageError for a picture that is missing, damaged or smaller than its crops, and when the
    report cannot be written.
    """
    before, _, after = _page(comparison, shown).partition("<!-- pictures -->")
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(before.encode())
            for block, contents in _encoded(
                _pictures(path.parent, comparison, shown, encoded or {})
            ):
                file.write(b'<script type="text/plain" id="%b">' % block.encode())
                file.write(b64encode(contents))
                file.write(b"</script>\n")
            file.write(after.encode())
        draft.replace(path)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise BadImageError(msg) from error
    finally:
        draft.unlink(missing_ok=True)


def _page(comparison: Comparison, shown: int) -> str:
    """The page without its pictures, whose place is marked."""
    folder = Path(__file__).parent
    parts = {
        "title": html.escape(f"{', '.join(method.key for method in comparison.methods)}: compared"),
        "style": (folder / STYLE).read_text(encoding="utf-8"),
        "script": "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "data": _json({"shown": shown, "comparison": msgspec.to_builtins(comparison)}),
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    # In one pass: what is filled in may look like a mark itself.
    return re.sub(r"<!-- (\w+) -->", lambda mark: parts.get(mark[1], mark[0]), page)


def _json(content: Any) -> str:
    """JSON that may stand in a script element: without "<", and with infinity as 1e999."""
    encoded = msgspec.json.encode(_with_infinity(content))
    # Outside strings JSON has no "<"; inside, the escape means the same.
    return encoded.replace(b"<", b"\\u003c").decode()


def _with_infinity(value: Any) -> Any:
    """Keep infinite figures (the PSNR of equal pictures), which JSON has no word for.

    1e999 is a number to JSON, and more than JavaScript's largest: it reads Infinity.
    """
    if isinstance(value, dict):
        return {key: _with_infinity(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_infinity(each) for each in value]
    if isinstance(value, float) and math.isinf(value):
        return msgspec.Raw(b"1e999" if value > 0 else b"-1e999")
    return value


def _pictures(
    folder: Path, comparison: Comparison, shown: int, encoded: Mapping[str, Embedded]
) -> Iterator[_Picture]:
    """What to embed, in the order of the page; cards.js makes the same ids."""
    columns = [(method.key, str(index)) for index, method in enumerate(comparison.methods)]
    columns.append((NATIVE, NATIVE))
    for number, frame in enumerate(comparison.frames[:shown]):
        for key, column in columns:
            if key in frame.pictures:
                crops = {
                    f"crop-{number}-{place}-{column}": crop
                    for place, crop in enumerate(frame.crops)
                }
                name = f"picture-{number}-{column}"
                file = frame.pictures[key]
                yield _Picture(
                    path=folder / file, block=name, crops=crops, encoded=encoded.get(file)
                )
        for key, column in columns:
            if key in frame.flip_maps:
                name = f"flip-{number}-{column}"
                file = frame.flip_maps[key]
                yield _Picture(path=folder / file, block=name, crops={}, encoded=encoded.get(file))


def _encoded(pictures: Iterator[_Picture]) -> Iterator[Block]:
    """Encode on threads (OpenCV works without Python's lock), a few pictures ahead, in order."""
    waiting: deque[Future[list[Block]]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="report") as pool:
        try:
            for picture in pictures:
                waiting.append(pool.submit(_encode, picture))
                if len(waiting) > ENCODED_AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _encode(picture: _Picture) -> list[Block]:
    contents = picture.encoded
    if contents is None:
        bgr = _read(picture.path)
        for crop in picture.crops.values():
            if crop.y + crop.height > bgr.shape[0] or crop.x + crop.width > bgr.shape[1]:
                size = f"{bgr.shape[1]}x{bgr.shape[0]}"
                msg = (
                    f"{picture.path} is {size} and has no crop of {crop.width}x{crop.height} there"
                )
                raise BadImageError(msg)
        contents = encode_picture(bgr, list(picture.crops.values()))
    return list(zip([picture.block, *picture.crops], contents, strict=True))


def encode_picture(bgr: Frame, crops: Sequence[Crop]) -> Embedded:
    """Encode (height, width, 3) uint8 BGR as JPEG, and the crops, which lie inside, as PNG."""
    import cv2

    # Of the usual 4:2:0, the colour of a thin line would not survive, and methods would look alike.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *sampling]
    cuts = [bgr[each.y : each.y + each.height, each.x : each.x + each.width] for each in crops]
    return [_file(".jpg", bgr, parameters), *(_file(".png", cut, []) for cut in cuts)]


def _read(path: Path) -> Frame:
    """Decode to (height, width, 3) uint8 BGR, once: `read_image` decodes twice for the alpha."""
    import cv2

    try:
        bgr: Frame | None = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        reason = getattr(error, "strerror", None) or "not an image"
        msg = f"cannot read {path}: {reason}"
        raise BadImageError(msg) from error
    if bgr is None:
        msg = f"{path} is not an image that OpenCV can read"
        raise BadImageError(msg)
    return bgr


def _file(suffix: str, bgr: Frame, parameters: list[int]) -> bytes:
    import cv2

    _, encoded = cv2.imencode(suffix, bgr, parameters)
    contents: bytes = encoded.tobytes()
    return contents
