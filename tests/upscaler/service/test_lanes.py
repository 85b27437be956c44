from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction

import pytest

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.catalogue import Catalogue
from upscaler.contract import Request, Upscaler
from upscaler.models.library import Model
from upscaler.service.lanes import Lanes, close_result
from upscaler.testing import FakeEngine

MakeModel = Callable[..., Model]


def request(width: int = 64, method: str = "quicksrnet-small") -> Request:
    return Request(
        method=method, size=Size(width, 36), scale=Fraction(2), pixel_format=PixelFormat.RGB8
    )


def lanes(methods: tuple[str, ...] = ()) -> tuple[Lanes, list[Upscaler]]:
    retired: list[Upscaler] = []
    return Lanes(Catalogue(engine=FakeEngine(), methods=methods), retire=retired.append), retired


def opened(lanes: Lanes, *requests: Request) -> list[object]:
    compiling = lanes.compile(requests)
    return list(lanes.join(requests, None if compiling is None else compiling.result()))


def test_clients_that_ask_for_the_same_share_a_lane() -> None:
    all_lanes, retired = lanes()
    (first,) = opened(all_lanes, request())
    assert all_lanes.compile([request()]) is None
    (second,) = opened(all_lanes, request())
    assert first is second
    all_lanes.leave(first)  # type: ignore[arg-type]
    assert retired == []
    all_lanes.leave(first)  # type: ignore[arg-type]
    assert retired == [first.upscaler]  # type: ignore[attr-defined]
    assert all_lanes.compile([request()]) is not None
    all_lanes.shut_down()


def test_two_clients_that_ask_at_once_share_what_was_first() -> None:
    all_lanes, retired = lanes()
    both = [all_lanes.compile([request()]) for _ in range(2)]
    first, second = (all_lanes.join([request()], each.result()) for each in both if each)
    assert first == second
    assert len(retired) == 1
    assert retired[0] is not first[0].upscaler
    all_lanes.shut_down()


def test_a_lane_that_ends_while_another_is_compiled_is_compiled_again() -> None:
    all_lanes, retired = lanes()
    (first,) = opened(all_lanes, request())
    compiling = all_lanes.compile([request(), request(method="nearest")])
    assert compiling is not None
    compiled = compiling.result()
    all_lanes.leave(first)  # type: ignore[arg-type]
    wanted = [request(), request(method="nearest")]
    assert all_lanes.join(wanted, compiled) == []
    assert len(retired) == 2
    assert len(opened(all_lanes, *wanted)) == 2
    all_lanes.shut_down()


def test_an_error_closes_what_was_made_before_it() -> None:
    all_lanes, _ = lanes()
    compiling = all_lanes.compile([request(), request(method="dlss")])
    assert compiling is not None
    with pytest.raises(BadRequestError, match="dlss"):
        compiling.result()
    close_result(compiling)
    assert all_lanes.compile([request()]) is not None
    all_lanes.shut_down()


def test_a_model_replaces_its_predecessor_on_every_lane(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    all_lanes, retired = lanes()
    small, large, filtered = opened(all_lanes, request(), request(96), request(method="nearest"))
    before = [lane.upscaler for lane in (small, large, filtered)]  # type: ignore[attr-defined]
    assert all_lanes.swap(all_lanes.load(str(model.path)).result())
    after = [lane.upscaler for lane in (small, large, filtered)]  # type: ignore[attr-defined]
    assert retired == before[:2]
    assert after[2] is before[2]
    assert after[0] is not before[0]
    all_lanes.shut_down()


def test_lanes_that_came_meanwhile_are_loaded_again(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    all_lanes, _ = lanes()
    opened(all_lanes, request())
    loading = all_lanes.load(str(model.path))
    late = all_lanes.compile([request(96)])
    assert late is not None
    loaded = loading.result()
    all_lanes.join([request(96)], late.result())
    assert not all_lanes.swap(loaded)
    assert all_lanes.swap(all_lanes.load(loaded.model).result())
    all_lanes.shut_down()


def test_what_was_compiled_before_a_load_is_compiled_again(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    all_lanes, retired = lanes()
    compiling = all_lanes.compile([request()])
    assert compiling is not None
    compiled = compiling.result()
    assert all_lanes.swap(all_lanes.load(str(model.path)).result())
    assert all_lanes.join([request()], compiled) == []
    assert retired == list(compiled.upscalers.values())
    assert len(opened(all_lanes, request())) == 1
    all_lanes.shut_down()


def test_what_a_load_does_not_concern_is_not_compiled_again(make_model: MakeModel) -> None:
    all_lanes, retired = lanes()
    compiling = all_lanes.compile([request(method="nearest")])
    assert compiling is not None
    compiled = compiling.result()
    assert all_lanes.swap(all_lanes.load(make_model(Fraction(2))).result())
    assert len(all_lanes.join([request(method="nearest")], compiled)) == 1
    assert retired == []
    all_lanes.shut_down()


def test_a_model_of_a_method_that_is_not_offered_is_refused(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    all_lanes, _ = lanes(("nearest",))
    with pytest.raises(BadRequestError, match="which is not offered here") as caught:
        all_lanes.load(str(model.path)).result()
    assert caught.value.code is ErrorCode.UNKNOWN_METHOD
    all_lanes.shut_down()


class Slow:
    name = "slow"

    def __init__(self) -> None:
        self.thread = 0

    def close(self) -> None:
        self.thread = threading.get_ident()
        raise RuntimeError


def test_closing_delays_nobody_and_fails_quietly() -> None:
    all_lanes, _ = lanes()
    slow = Slow()
    all_lanes.close(slow)  # type: ignore[arg-type]
    all_lanes.shut_down()
    assert slow.thread not in (0, threading.get_ident())
