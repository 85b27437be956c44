"""What a page gets, by a page that is no browser and a real service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from upscaler.control import Control
from upscaler.live.comparer import NAME
from upscaler.live.pictures import FrameHead
from upscaler.live.shot import Picture, Shot
from upscaler.live.viewer import NATIVE, WINDOW, Viewer
from upscaler.service.process import ServiceProcess

Make = Callable[..., Viewer]


@pytest.fixture
def make_viewer(service: ServiceProcess) -> Iterator[Make]:
    made: list[Viewer] = []

    def make(**others: Any) -> Viewer:
        options: dict[str, Any] = {
            "source": "a test",
            "left": "nearest",
            "right": "bicubic",
            "limited": False,
        }
        made.append(Viewer(service.endpoint, **(options | others)))
        return made[-1]

    yield make
    for viewer in made:
        viewer.close()


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def methods(head: FrameHead) -> list[str]:
    return [side.method for side in head.sides]


def show(viewer: Viewer, page: Any, shot: Shot) -> tuple[FrameHead, list[bytes]]:
    assert viewer.wait_until_wanted(20)
    viewer.offer(shot)
    head, pictures = page.next_picture()
    viewer.ask(msgspec.json.encode({"ack": head.id}))
    return head, pictures


def test_nothing_is_wanted_while_nobody_watches(
    make_viewer: Make, collecting_page: Any, shot: Shot, service: ServiceProcess
) -> None:
    viewer = make_viewer()
    assert not viewer.wanted
    assert not viewer.watched
    viewer.offer(shot)
    assert not viewer.shows_something
    viewer.connect(collecting_page)
    assert viewer.watched
    show(viewer, collecting_page, shot)
    viewer.disconnect(collecting_page)
    assert not viewer.wanted
    # Its sessions end with it.
    with Control(service.endpoint) as control:
        for _ in range(500):
            if NAME not in {client.name for client in control.report().clients}:
                break
        else:
            pytest.fail("the viewer's sessions stayed")


def test_both_sides_show_the_same_frame(
    make_viewer: Make, collecting_page: Any, shot: Shot
) -> None:
    viewer = make_viewer()
    viewer.connect(collecting_page)
    head, pictures = show(viewer, collecting_page, shot)
    assert methods(head) == ["nearest", "bicubic"]
    assert (head.width, head.height, head.time_s) == (128, 72, 0.5)
    assert [side.type for side in head.sides] == ["image/jpeg"] * 2
    assert all(side.ms is not None and side.ms > 0 for side in head.sides)
    left = decoded(pictures[0])[::2, ::2, ::-1]
    assert np.abs(left.astype(int) - shot.source).mean() < 6
    assert not np.array_equal(decoded(pictures[0]), decoded(pictures[1]))


def test_a_pause_is_exact_and_methods_change_on_the_frame_that_stays(
    make_viewer: Make, collecting_page: Any, shot: Shot
) -> None:
    viewer = make_viewer()
    viewer.connect(collecting_page)
    collecting_page.next_state()  # with the methods to choose from
    show(viewer, collecting_page, shot)
    viewer.ask('{"paused":true}')
    head, pictures = collecting_page.next_picture()
    assert [side.type for side in head.sides] == ["image/png"] * 2
    exact = decoded(pictures[0])
    assert np.array_equal(exact[::2, ::2, ::-1], shot.source)
    viewer.ask(f'{{"ack":{head.id},"right":"fsr1"}}')
    head, others = collecting_page.next_picture()
    assert methods(head) == ["nearest", "fsr1"]
    assert others[0] == pictures[0]
    assert viewer.main_method == "fsr1"
    assert viewer.png(0) == ("nearest", pictures[0])
    viewer.ask(f'{{"ack":{head.id}}}')
    assert not viewer.wanted
    viewer.ask('{"step":true}')
    other = replace(shot, source=255 - shot.source, time_s=0.75)
    head, pictures = show(viewer, collecting_page, other)
    assert head.time_s == 0.75
    assert np.array_equal(decoded(pictures[0])[::2, ::2, ::-1], other.source)
    viewer.offer(shot)  # was on its way
    viewer.ask('{"paused":false}')
    head, _ = collecting_page.next_picture()
    assert head.time_s == 0.75


def test_a_result_that_is_there_is_not_made_again(
    make_viewer: Make, collecting_page: Any, shot: Shot
) -> None:
    result = np.full((72, 128, 3), 40, np.uint8)
    native = np.full((72, 128, 3), 200, np.uint8)
    viewer = make_viewer(left=NATIVE, right="a method of tomorrow", native=True)
    viewer.connect(collecting_page)
    given = replace(shot, results={"a method of tomorrow": Picture(pixels=result)}, native=native)
    head, pictures = show(viewer, collecting_page, given)
    assert [side.ms for side in head.sides] == [None, None]
    assert [decoded(data)[9, 9, 0] for data in pictures] == pytest.approx([200, 40], abs=2)
    assert collecting_page.next_state().methods[-1] == NATIVE
    head, _ = show(viewer, collecting_page, replace(given, native=None))
    assert head.sides[0].error == "this frame has no native reference"


def test_one_method_on_both_sides_is_sent_once(
    make_viewer: Make, collecting_page: Any, shot: Shot
) -> None:
    viewer = make_viewer(left="bicubic")
    viewer.connect(collecting_page)
    head, pictures = show(viewer, collecting_page, shot)
    assert methods(head) == ["bicubic", "bicubic"]
    assert (len(pictures[0]) > 0, pictures[1]) == (True, b"")
    assert viewer.png(0) == viewer.png(1)


def test_what_fails_is_said_on_its_side(
    make_viewer: Make, collecting_page: Any, shot: Shot
) -> None:
    viewer = make_viewer(left="dlss")
    viewer.connect(collecting_page)
    head, pictures = show(viewer, collecting_page, shot)
    assert "unknown method 'dlss'" in head.sides[0].error
    assert head.sides[1].error == ""
    assert decoded(pictures[1]).shape == (72, 128, 3)
    assert viewer.png(0) is None


def test_a_page_that_does_not_read_gets_no_more(
    make_viewer: Make, collecting_page: Any, shot: Shot
) -> None:
    viewer = make_viewer()
    viewer.connect(collecting_page)
    for _ in range(WINDOW):
        assert viewer.wait_until_wanted(20)
        viewer.offer(shot)
        collecting_page.next_picture()
    assert not viewer.wanted
    viewer.ask('{"ack":99}')  # more than there were
    assert viewer.wait_until_wanted(20)
    viewer.ask('{"hidden":true}')
    assert not viewer.wanted
    viewer.ask('{"hidden":false}')
    assert viewer.wanted


def test_the_last_page_that_was_opened_is_served(
    make_viewer: Make, collecting_page: Any, shot: Shot
) -> None:
    viewer = make_viewer()
    first = type(collecting_page)()
    viewer.connect(first)
    show(viewer, first, shot)
    viewer.connect(collecting_page)
    assert first.ended == "another page was opened"
    assert not viewer.shows_something
    show(viewer, collecting_page, shot)
    viewer.disconnect(first)  # late, and of no consequence
    assert viewer.watched
    viewer.close()
    assert collecting_page.ended == "upscaler has ended"
    late = type(collecting_page)()
    viewer.connect(late)
    assert late.ended == "upscaler has ended"


def test_wishes_that_are_none_are_refused_or_ignored(
    make_viewer: Make, collecting_page: Any
) -> None:
    viewer = make_viewer()
    viewer.connect(collecting_page)
    assert "fsr1" in collecting_page.next_state().methods
    viewer.ask('{"left":"dlss","right":"native"}')
    assert (viewer.left, viewer.right) == ("nearest", "bicubic")
    with pytest.raises(msgspec.MsgspecError):
        viewer.ask('{"left":')


def test_a_limited_viewer_keeps_out_of_the_way(
    make_viewer: Make, collecting_page: Any, shot: Shot
) -> None:
    viewer = make_viewer(limited=True)
    viewer.connect(collecting_page)
    assert viewer.wait_until_wanted(20)
    viewer.offer(shot)
    head, _ = collecting_page.next_picture()
    viewer.ask(f'{{"ack":{head.id}}}')
    assert not viewer.wanted  # its share of the time is spent
    assert viewer.wait_until_wanted(60)


def test_a_service_that_does_not_answer_is_said(
    collecting_page: Any, shot: Shot, tmp_path: Any
) -> None:
    viewer = Viewer(
        f"ipc://{tmp_path}/nobody", source="a test", left="nearest", right="bicubic", limited=False
    )
    viewer.connect(collecting_page)
    assert "did not answer" in collecting_page.next_state().service.note
    head, _ = show(viewer, collecting_page, shot)
    assert all("did not answer" in side.error for side in head.sides)
    viewer.close()
