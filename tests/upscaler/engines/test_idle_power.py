from __future__ import annotations

import threading
from itertools import repeat
from typing import Any

import pytest

from upscaler.engines.idle_power import IdlePower

LONG_S = 1e6
"""Longer than any test: the watching thread sleeps, and the test looks in its place."""


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(switched: list[str], **changes: Any) -> IdlePower:
    given = {"mode": "burst", "idle_mode": "low_balanced", "idle_after_s": LONG_S}
    return IdlePower(switched.append, **(given | changes))


def test_a_pause_saves_power_and_the_next_frame_ends_it() -> None:
    switched: list[str] = []
    clock = Clock()
    power = make(switched, clock=clock)
    power.begin()
    power.end()
    clock.now = 0.4 * LONG_S
    assert power.relax_if_idle() == pytest.approx(0.6 * LONG_S)
    assert (switched, power.mode) == ([], "burst")
    clock.now = LONG_S
    assert power.relax_if_idle() is None
    assert (switched, power.mode) == (["low_balanced"], "low_balanced")
    assert power.relax_if_idle() is None
    for _ in range(3):
        power.begin()
        power.end()
    assert (switched, power.mode) == (["low_balanced", "burst"], "burst")
    power.close()


def test_frames_that_keep_coming_change_nothing() -> None:
    switched: list[str] = []
    clock = Clock()
    power = make(switched, clock=clock)
    for _ in range(10):
        clock.now += 0.9 * LONG_S
        power.begin()
        power.end()
        assert power.relax_if_idle() is not None
    assert switched == []
    power.close()


def test_a_frame_that_takes_long_is_no_pause() -> None:
    switched: list[str] = []
    clock = Clock()
    power = make(switched, clock=clock)
    power.begin()
    clock.now = 9 * LONG_S
    assert power.relax_if_idle() == LONG_S
    power.end()
    assert power.relax_if_idle() == LONG_S
    assert switched == []
    power.close()


def test_the_thread_notices_a_pause_without_any_frame() -> None:
    relaxed = threading.Event()
    power = IdlePower(
        lambda _: relaxed.set(), mode="burst", idle_mode="power_saver", idle_after_s=0.001
    )
    assert relaxed.wait(30)
    assert power.wait_until_idle(30)
    assert power.mode == "power_saver"
    power.close()
    power.close()


@pytest.mark.parametrize("changes", [{"idle_after_s": 0}, {"idle_mode": "burst"}])
def test_it_can_be_off(changes: dict[str, Any]) -> None:
    before = threading.active_count()
    power = make([], **changes)
    assert threading.active_count() == before
    power.begin()
    power.end()
    power.close()


def test_closing_ends_the_thread_and_the_switching() -> None:
    switched: list[str] = []
    before = threading.active_count()
    clock = Clock()
    power = make(switched, clock=clock)
    assert threading.active_count() == before + 1
    power.close()
    assert threading.active_count() == before
    clock.now = 9 * LONG_S
    assert power.relax_if_idle() is None
    assert switched == []


def test_a_switch_that_fails_is_said_once_and_frames_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(mode: str) -> None:
        msg = f"no {mode}"
        raise RuntimeError(msg)

    clock = Clock()
    power = IdlePower(refuse, mode="burst", idle_mode="balanced", idle_after_s=LONG_S, clock=clock)
    for _ in repeat(None, 3):
        clock.now += 2 * LONG_S
        power.relax_if_idle()
        power.begin()
        power.end()
    assert caplog.text.count("does not take the mode balanced (no balanced)") == 1
    power.close()


def test_watching_and_frames_at_once() -> None:
    running = threading.Event()
    clashes: list[str] = []

    def switch(mode: str) -> None:
        if running.is_set():
            clashes.append(mode)

    power = IdlePower(switch, mode="burst", idle_mode="balanced", idle_after_s=1e-6)
    for _ in range(2000):
        power.begin()
        running.set()
        running.clear()
        power.end()
    power.close()
    assert clashes == []
