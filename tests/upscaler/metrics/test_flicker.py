"""Flicker on a picture that moves in known ways."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame
from upscaler.metrics.flicker import Motion, flicker_levels, motion_between, signed_error

STEP = 6
"""Pixels by which the camera moves to the right between the two frames."""


@pytest.fixture(scope="module")
def world() -> Frame:
    return game_frame(Size(600, 400), PixelFormat.RGB8)[150:350, 100:400].copy()


@pytest.fixture(scope="module")
def frames(world: Frame) -> tuple[Frame, Frame]:
    """Two 288x200 frames out of one larger picture."""
    return world[:, :288].copy(), world[:, STEP : 288 + STEP].copy()


@pytest.fixture(scope="module")
def motion(frames: tuple[Frame, Frame]) -> Motion:
    return motion_between(*frames)


def shifted(frame: Frame, levels: float | np.ndarray) -> Frame:
    return np.rint(frame * 0.6 + 50 + levels).astype(np.uint8)


def errors(
    frames: tuple[Frame, Frame], changes: tuple[float | np.ndarray, float | np.ndarray]
) -> list[np.ndarray]:
    # Both are compressed alike, so that no change saturates.
    return [
        signed_error(shifted(frame, change), shifted(frame, 0))
        for frame, change in zip(frames, changes, strict=True)
    ]


def test_motion_is_found(motion: Motion) -> None:
    columns = np.indices(motion.visible.shape)[1]
    moved = (motion.origin[..., 0] - columns)[motion.visible]
    assert np.median(moved) == pytest.approx(STEP, abs=0.1)
    assert 0.7 < motion.share <= 1
    assert not motion.visible[:, -1].any()  # it has just come into view


def test_nothing_moves_where_nothing_moved(frames: tuple[Frame, Frame]) -> None:
    still = motion_between(frames[0], frames[0].copy())
    assert still.share == 1
    assert np.abs(still.origin[..., ::-1] - np.moveaxis(np.indices((200, 288)), 0, -1)).max() < 0.01


def test_the_native_render_does_not_flicker(frames: tuple[Frame, Frame], motion: Motion) -> None:
    before, after = (signed_error(frame, frame.copy()) for frame in frames)
    assert flicker_levels(before, after, motion) == 0


def test_an_error_that_stays_is_no_flicker(frames: tuple[Frame, Frame], motion: Motion) -> None:
    before, after = errors(frames, (7, 7))
    assert flicker_levels(before, after, motion) == pytest.approx(0, abs=1e-5)


def test_brightness_that_alternates_flickers_by_its_swing(
    frames: tuple[Frame, Frame], motion: Motion
) -> None:
    before, after = errors(frames, (5, -5))
    assert flicker_levels(before, after, motion) == pytest.approx(10, abs=1e-4)
    assert flicker_levels(after, before, motion) == pytest.approx(10, abs=1e-4)


def test_an_error_on_the_surface_flickers_less_than_one_on_the_screen(
    world: Frame, frames: tuple[Frame, Frame], motion: Motion
) -> None:
    """At a fixed pixel it is the other way round: there the pattern on the screen stands still."""
    pattern = np.random.default_rng(2).normal(0, 5, world.shape)
    on_surface = errors(frames, (pattern[:, :288], pattern[:, STEP : 288 + STEP]))
    on_screen = errors(frames, (pattern[:, :288], pattern[:, :288]))
    assert flicker_levels(*on_surface, motion) < 0.3 * flicker_levels(*on_screen, motion)
    naive = [float(np.std(after - before)) for before, after in (on_surface, on_screen)]
    assert naive[0] > 10 * naive[1]


def test_independent_noise_flickers_in_proportion(
    frames: tuple[Frame, Frame], motion: Motion
) -> None:
    random = np.random.default_rng(3)
    first, second = (random.normal(0, 1, frames[0].shape) for _ in range(2))
    little, much = (
        flicker_levels(*errors(frames, (size * first, size * second)), motion) for size in (3, 9)
    )
    assert much == pytest.approx(3 * little, rel=0.05)
    assert much == pytest.approx(9 * 2**0.5, rel=0.2)


def test_a_cut_has_no_flicker(frames: tuple[Frame, Frame]) -> None:
    noise = np.random.default_rng(4).integers(0, 256, frames[0].shape, np.uint8)
    cut = motion_between(noise, frames[0])
    assert cut.share < 0.05
    nothing = Motion(origin=cut.origin, visible=np.zeros_like(cut.visible))
    error = signed_error(frames[0], frames[1])
    with pytest.raises(ValueError, match="across a cut"):
        flicker_levels(error, error, nothing)


def test_refuses_frames_that_are_too_small() -> None:
    tiny = np.zeros((11, 200, 3), np.uint8)
    with pytest.raises(ValueError, match="12 pixels or more, not 200x11"):
        motion_between(tiny, tiny)
    assert motion_between(*[np.zeros((12, 12, 3), np.uint8)] * 2).share == 1


def test_refuses_frames_of_two_sizes(frames: tuple[Frame, Frame]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        motion_between(frames[0], frames[1][1:])
    with pytest.raises(ValueError, match="one shape"):
        signed_error(frames[0], frames[1][1:])
