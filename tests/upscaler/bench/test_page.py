from __future__ import annotations

import socket

import pytest

from protocol.errors import ServiceError
from upscaler.bench.page import OpenPage


def test_a_page_that_cannot_be_opened_says_why() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{unheard.getsockname()[1]}"
        page = OpenPage(f"http://{where}/?token=any", left="bicubic", right="nearest")
        with page:
            page._reader.join()
            with pytest.raises(ServiceError, match=f"cannot open the page at {where}: .*refused"):
                page.check()
    assert page.pictures == 0
