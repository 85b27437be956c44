"""Two clients of one upscaler that reuses what did not change: each gets its own picture."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.catalogue import Catalogue
from upscaler.client import Client
from upscaler.contract import Frame, Request
from upscaler.service.process import ServiceProcess

SIZE = Size(160, 96)


def whole(frame: Frame) -> Frame:
    request = Request(method="", size=SIZE, scale=Fraction(2), pixel_format=PixelFormat.RGBA8)
    upscaler = Catalogue(engine="onnxruntime").open(request)
    result = np.zeros(upscaler.output_shape, np.uint8)
    upscaler(frame, result)
    upscaler.close()
    return result


def test_two_clients_share_an_upscaler_and_see_their_own_pictures() -> None:
    still = game_frame(SIZE, PixelFormat.RGBA8)
    moving = still.copy()
    arguments = ["--engine", "onnxruntime", "--reuse-unchanged"]
    with ServiceProcess(arguments) as service:
        assert "reuse     networks compute what changed since the frame before" in service.banner
        options = {"size": (160, 96), "scale": 2, "pixel_format": "rgba8"}
        with Client(service.endpoint, **options) as one, Client(service.endpoint, **options) as two:
            for at in range(4):
                moving[10 * at : 10 * at + 20, 30:50] ^= 85
                for client, frame in ((one, still), (two, moving), (two, moving)):
                    assert np.array_equal(client.upscale(frame), whole(frame))
        assert service.close() == 0
        assert "Traceback" not in service.log()
