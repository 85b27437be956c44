"""`upscaler bench capture` on a real screen, small and short; its figures are no business of it."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from upscaler.cli.bench_capture import Pace

Bench = Callable[..., list[list[str]]]
RunHere = Callable[..., CompletedProcess[str]]


@pytest.fixture
def bench_capture(run_here: RunHere) -> Bench:
    """Run it in turns of 0.1 s at 64x36; returns the rows of the tables it prints."""

    def measured(*arguments: str) -> list[list[str]]:
        command = ["bench", "capture", "--size", "64x36", "--rounds", "1", "--seconds", "0.1"]
        done = run_here(*command, *arguments)
        assert done.returncode == 0, done.stderr
        return rows(done.stdout)

    return measured


def rows(printed: str) -> list[list[str]]:
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_captures_and_paces_are_printed_side_by_side(screen: str, bench_capture: Bench) -> None:
    assert screen
    printed = bench_capture("--part", "pacing", "--part", "capture")
    still, still_plain, changing, changing_plain, *paces = printed
    assert still[:2] == ["still screen", "ScreenSource.frames to a slot"]
    assert still_plain[:2] == ["still screen", "mss and a numpy copy"]
    # Nothing moves in the one, and everything each time in the other: else it is not what it says.
    assert still[2] == still[3] == still_plain[2]
    assert changing[0] == changing_plain[0] == "changing screen"
    assert (int(changing[2]) > 0, changing[3]) == (True, "0")
    assert [row[:2] for row in paces] == [
        [way, fps]
        for fps in ("30", "60")
        for way in ("Paced", "Paced, never asleep: a floor", "time.sleep(1 / fps)")
    ]
    for row in paces:
        assert int(row[2]) >= 2
        assert float(row[5]) - 1000 / float(row[1]) == pytest.approx(float(row[6]), abs=0.01)


def test_a_client_is_timed_without_a_viewer_with_one_and_with_a_page(bench_capture: Bench) -> None:
    none, unwatched, watched = bench_capture("--part", "viewer", "--method", "nearest")
    assert none[:2] == ["nearest", "no viewer"]
    assert unwatched[:2] == ["nearest", "serve --viewer, nobody watches"]
    assert watched[:2] == ["nearest", "one page open, bicubic | nearest"]
    for row in (unwatched, watched):
        ratio = float(row[2]) / float(none[2])
        assert [float(cell) for cell in row[3:6]] == [pytest.approx(ratio, abs=0.02)] * 3
    assert float(watched[6]) > 0  # pictures did come


def refused(run_here: RunHere, *arguments: str) -> str:
    done = run_here("bench", "capture", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--part", "pace"], "there is no part 'pace'; choose from capture, pacing, viewer"),
        (["--size", "0x36"], "a frame of 0x36 has no pixels; both sides must be at least 1"),
        (["--part", "viewer", "--method", "magic"], "unknown method 'magic'; choose one of "),
    ],
)
def test_what_cannot_be_measured_is_said(
    run_here: RunHere, arguments: list[str], sentence: str
) -> None:
    assert refused(run_here, *arguments).startswith(f"upscaler: {sentence}")


def test_no_screen_is_said(run_here: RunHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    assert refused(run_here, "--part", "capture") == (
        "upscaler: there is no screen to capture: DISPLAY is not set; name an X server, such as "
        "Xvfb, or give --part viewer, which needs none\n"
    )


def test_a_screen_that_is_too_small_is_said(screen: str, run_here: RunHere) -> None:
    assert screen
    assert refused(run_here, "--part", "capture") == (
        "upscaler: the region 960x540 at 0,0 does not lie on the screen, which is 800x600 at 0,0\n"
    )


def test_frames_that_were_due_are_missed() -> None:
    pace = Pace()
    pace.count_turn([0, 100_000_000, 300_000_000, 400_000_001], 10)
    assert pace.missed == 1
    pace.count_turn([7, 110_000_007], 10)
    assert pace.missed == 1
    assert pace.intervals_ms == pytest.approx([100, 200, 100, 110], abs=0.001)
