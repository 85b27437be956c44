"""The engines agree on a real frame, the emulated NPU among them."""

from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.catalogue import Catalogue
from upscaler.contract import Request
from upscaler.engines.library import ENGINES
from upscaler.images import read_image
from upscaler.metrics import psnr_db

CLIP = Path(__file__).parents[3] / "upscaler" / "demo" / "clip"
SIZE = Size(240, 136)
X, Y = 300, 200


def test_engines_are_equally_close_to_the_native_render() -> None:
    engines = [name for name in ENGINES if name != "npu" or find_spec("onnxruntime_qnn")]
    if len(engines) < 2:
        pytest.skip("one engine alone")
    low, native = (read_image(CLIP / f"{name}.webp") for name in ("low", "native"))
    frame = np.ascontiguousarray(low[Y : Y + SIZE.height, X : X + SIZE.width])
    reference = native[2 * Y : 2 * (Y + SIZE.height), 2 * X : 2 * (X + SIZE.width)]
    request = Request(
        method="quicksrnet-small", size=SIZE, scale=Fraction(2), pixel_format=PixelFormat.BGR8
    )
    found_db = {}
    for name in engines:
        upscaler = Catalogue(engine=name).open(request)
        result = np.empty(upscaler.output_shape, np.uint8)
        upscaler(frame, result)
        upscaler.close()
        found_db[name] = psnr_db(result, reference)
    assert max(found_db.values()) - min(found_db.values()) <= 0.03, found_db
    assert min(found_db.values()) > 29, found_db
