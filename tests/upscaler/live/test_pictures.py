from __future__ import annotations

import cv2
import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.live.pictures import (
    FrameHead,
    Side,
    decode_message,
    encode_jpeg,
    encode_message,
    encode_png,
    to_bgr,
)

BGR = game_frame(Size(64, 36), PixelFormat.BGR8)


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_every_format_becomes_bgr(pixel_format: PixelFormat) -> None:
    assert np.array_equal(to_bgr(game_frame(Size(64, 36), pixel_format), pixel_format), BGR)


def test_a_picture_that_stays_is_exact_and_a_moving_one_nearly() -> None:
    png = cv2.imdecode(np.frombuffer(encode_png(BGR), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(png, BGR)
    jpeg = cv2.imdecode(np.frombuffer(encode_jpeg(BGR), np.uint8), cv2.IMREAD_COLOR)
    assert 0 < np.abs(jpeg.astype(int) - BGR).mean() < 3


def test_a_message_is_laid_out_as_the_page_reads_it() -> None:
    sides = [
        Side(method="a", type="image/png", bytes=3, ms=1.5),
        Side(method="b", error="no"),
    ]
    head = FrameHead(id=7, time_s=0.25, width=4, height=2, sides=sides)
    message = encode_message(head, [b"xyz", b""])
    text = (
        b'{"id":7,"time_s":0.25,"width":4,"height":2,"sides":['
        b'{"method":"a","type":"image/png","bytes":3,"ms":1.5,"error":""},'
        b'{"method":"b","type":"","bytes":0,"ms":null,"error":"no"}]}'
    )
    assert message == len(text).to_bytes(4, "big") + text + b"xyz"
    assert decode_message(message) == (head, [b"xyz", b""])
