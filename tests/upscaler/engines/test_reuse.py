"""Every result is held against that of the whole network: not one value may differ."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import BadRequestError, EngineError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.contract import Engine, Frame
from upscaler.engines.onnxruntime import OnnxRuntimeEngine
from upscaler.engines.openvino import OpenVinoEngine
from upscaler.engines.reuse import (
    PATIENCE,
    ReuseStatistics,
    ReusingUpscaler,
    load_reusing,
    window_sizes,
)
from upscaler.images import read_image
from upscaler.models.geometry import Geometry, geometry_of
from upscaler.models.library import Model, find_model
from upscaler.models.specialise import specialise
from upscaler.testing import FakeEngine

MakeModel = Callable[..., Model]
CLIP = Path(__file__).parents[3] / "upscaler" / "demo" / "clip" / "frames"
SIZE = Size(220, 172)
"""Neither a multiple of a block, nor of a window; room for two sizes of windows."""
ENGINES: dict[str, Callable[[], Engine]] = {
    "openvino": OpenVinoEngine,
    "onnxruntime": OnnxRuntimeEngine,
}
CASES = [
    (engine, model, pixel_format)
    for engine in ENGINES
    for model in ("quicksrnet-small-x2", "quicksrnet-medium-x2", "quicksrnet-small-x1.5")
    for pixel_format in (PixelFormat.RGB8, PixelFormat.RGBA8)
]


class Pair:
    """A network with reuse and the same one without."""

    def __init__(
        self,
        engine: Engine,
        model: Model,
        size: Size,
        pixel_format: PixelFormat,
        *,
        window: int = 0,
    ) -> None:
        geometry = geometry_of(specialise(model, size, pixel_format), model.card.ratio)
        sizes = window_sizes(size, geometry)
        windows = [engine.load(model, each, pixel_format) for each in sizes]
        # As if windows were free, and that one were cheapest.
        costs = [1e6, *(float(at != window) for at in range(len(windows)))]
        full = engine.load(model, size, pixel_format)
        self.reusing = ReusingUpscaler(full, windows, geometry, costs_ms=costs)
        self.plain = engine.load(model, size, pixel_format)
        self.result = np.zeros(full.output_shape, np.uint8)
        self.expected = np.zeros(full.output_shape, np.uint8)

    def agree(self, src: Frame) -> bool:
        self.result[...] = 1  # nothing of an old result may help
        self.reusing(src, self.result)
        self.plain(src, self.expected)
        return np.array_equal(self.result, self.expected)

    def close(self) -> None:
        self.reusing.close()
        self.plain.close()


@pytest.fixture(
    scope="module",
    params=CASES,
    ids=lambda case: f"{case[0]}-{case[1]}-{case[2].label}",
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    engine, model, pixel_format = request.param
    made = Pair(ENGINES[engine](), find_model(model), SIZE, pixel_format)
    yield made
    made.close()


def scene(pair: Pair) -> Frame:
    height, width, channels = pair.reusing.input_shape
    pixel_format = PixelFormat.RGBA8 if channels == 4 else PixelFormat.RGB8
    return game_frame(Size(width + 90, height + 200), pixel_format)[200:, 90:].copy()


def test_one_pixel_at_every_border_corner_and_seam(pair: Pair) -> None:
    frame = scene(pair)
    assert pair.agree(frame)
    before = pair.reusing.statistics
    # The first and last pixels, and both sides of the seams of blocks and windows.
    rows = (0, 1, 7, 8, 55, 56, 63, 64, 100, 127, 128, 167, 168, 170, 171)
    columns = (0, 3, 4, 49, 50, 59, 60, 119, 120, 121, 215, 216, 219)
    for at, y in enumerate(rows):
        for x in (columns[at % len(columns)], columns[(3 * at + 1) % len(columns)]):
            frame[y, x] ^= 255
            assert pair.agree(frame), (y, x)
    after = pair.reusing.statistics
    assert after.partial - before.partial == after.frames - before.frames == 2 * len(rows)
    assert after.windows - before.windows < 5 * len(rows)


# The pair keeps its frames from one example to the next, as it would from one client to the next.
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_rectangles(pair: Pair, data: st.DataObject) -> None:
    frame = scene(pair)
    random = np.random.default_rng(data.draw(st.integers(0, 9)))
    for _ in range(data.draw(st.integers(0, 4))):
        y = data.draw(st.integers(0, frame.shape[0] - 1))
        x = data.draw(st.integers(0, frame.shape[1] - 1))
        piece = frame[y : y + data.draw(st.integers(1, 90)), x : x + data.draw(st.integers(1, 90))]
        piece[...] = random.integers(0, 256, piece.shape, np.uint8)
    assert pair.agree(frame)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("window", [0, 1, 2])
def test_a_real_sequence(engine: str, window: int) -> None:
    size = Size(480, 270)  # room for every size of windows
    left, top = 150, 90
    cut = np.s_[top : top + size.height, left : left + size.width]
    made = Pair(
        ENGINES[engine](),
        find_model("quicksrnet-small-x2"),
        size,
        PixelFormat.BGR8,
        window=window,
    )
    still = read_image(CLIP / "000310.webp")[cut]
    for at, path in enumerate(sorted(CLIP.glob("*.webp"))[:4]):
        frame = still.copy()
        moving = read_image(path)[cut]
        frame[10:200, 50:367] = moving[10:200, 50:367]  # a film in a window
        frame[230 : 230 + 10 * at, :] = moving[230 : 230 + 10 * at, :]
        assert made.agree(frame)
        assert made.agree(frame)
    found = made.reusing.statistics
    assert (found.whole, found.partial, found.unchanged) == (1, 3, 4)
    made.close()


@pytest.mark.parametrize("offset", [0, 1, 4])
def test_frames_may_begin_anywhere_and_be_read_only(offset: int) -> None:
    made = Pair(FakeEngine(), find_model("quicksrnet-small-x2"), SIZE, PixelFormat.RGBA8)
    frame = scene(made)
    memory = np.zeros(frame.size + 8, np.uint8)
    view = memory[offset : offset + frame.size].reshape(frame.shape)
    for x in (0, 100, 219):
        frame[5, x] ^= 9
        view[...] = frame
        view.flags.writeable = False
        assert made.agree(view)
        view = memory[offset : offset + frame.size].reshape(frame.shape)
    assert made.reusing.statistics == ReuseStatistics(
        frames=3, whole=1, partial=2, windows=2, recomputed_pixels=2 * 64 * 64
    )


class Watched:
    """Nearest neighbour with reuse on a watched engine: which frames reach it, and what fails."""

    def __init__(self, size: Size = SIZE) -> None:
        self.seen: list[tuple[Frame, Frame]] = []
        self.error: Exception | None = None
        engine = FakeEngine(before_frame=self._watch)
        model = find_model("quicksrnet-small-x2")
        geometry = Geometry(cell=1, reach=4, multiply_adds=Fraction(1))
        sizes = window_sizes(size, geometry)
        opened = [engine.load(model, each, PixelFormat.RGB8) for each in (size, *sizes)]
        # A window of 64x64 is a ninth of the frame and costs an eighth.
        costs = [8.0, *(each.pixels / 64**2 for each in sizes)]
        self.upscaler = ReusingUpscaler(opened[0], opened[1:], geometry, costs_ms=costs)
        self.frame = np.zeros(self.upscaler.input_shape, np.uint8)
        self.result = np.zeros(self.upscaler.output_shape, np.uint8)
        self.seen.clear()

    def _watch(self, src: Frame, dst: Frame) -> None:
        self.seen.append((src, dst))
        if self.error is not None:
            raise self.error

    def show(self) -> None:
        self.result[...] = 1
        self.upscaler(self.frame, self.result)
        assert np.array_equal(self.result, self.frame.repeat(2, 0).repeat(2, 1))

    def move(self) -> None:
        self.frame[...] += np.uint8(1)
        self.show()


def test_a_still_picture_runs_no_network() -> None:
    watched = Watched()
    watched.show()
    assert len(watched.seen) == 1
    for _ in range(5):
        watched.show()
    assert len(watched.seen) == 1
    assert watched.upscaler.statistics == ReuseStatistics(frames=6, whole=1, unchanged=5)
    assert str(watched.upscaler.statistics) == (
        "6 frames: 5 unchanged, 0 in part (0 windows), 1 whole"
    )


def test_the_caller_may_spoil_its_result_but_not_the_next() -> None:
    watched = Watched()
    watched.show()
    watched.result[...] = 3
    watched.show()


def test_a_moving_picture_passes_straight_through_until_it_stands() -> None:
    watched = Watched()
    for _ in range(PATIENCE):
        watched.move()
        src, dst = watched.seen[-1]
        assert src is not watched.frame
        assert dst is not watched.result
    for _ in range(4):
        watched.move()
        src, dst = watched.seen[-1]
        assert src is watched.frame
        assert dst is watched.result
    assert watched.upscaler.statistics == ReuseStatistics(frames=7, whole=PATIENCE, moving=4)
    watched.show()  # looks, and computes what it will keep
    assert len(watched.seen) == 8
    watched.show()
    assert len(watched.seen) == 8
    watched.frame[80, 80] += 1
    watched.show()
    assert watched.seen[-1][0].shape == (64, 64, 3)
    for _ in range(PATIENCE):
        watched.move()
    watched.move()
    assert watched.upscaler.statistics == ReuseStatistics(
        frames=14,
        whole=2 * PATIENCE + 1,
        moving=5,
        unchanged=1,
        partial=1,
        windows=1,
        recomputed_pixels=64 * 64,
    )


def test_a_change_that_costs_more_in_windows_is_computed_whole() -> None:
    watched = Watched()
    watched.show()
    watched.frame[::16, ::16] += 1
    watched.show()
    assert watched.seen[-1][0].shape == watched.upscaler.input_shape


def test_after_an_error_the_next_frame_is_computed_whole() -> None:
    watched = Watched()
    watched.show()
    watched.frame[10:20, 10:20] += 1
    watched.error = RuntimeError("out of luck")
    with pytest.raises(EngineError, match="out of luck"):
        watched.show()
    watched.error = None
    watched.show()
    assert watched.seen[-1][0].shape == watched.upscaler.input_shape
    watched.show()


def test_another_shape_is_refused_and_changes_nothing() -> None:
    watched = Watched()
    watched.show()
    with pytest.raises(BadRequestError, match="source"):
        watched.upscaler(watched.frame[:-2], watched.result)
    watched.show()
    assert len(watched.seen) == 1


def test_a_frame_too_small_for_windows_is_reused_as_a_whole() -> None:
    watched = Watched(Size(64, 36))
    watched.show()
    watched.show()
    watched.frame[3, 3] += 1
    watched.show()
    assert watched.upscaler.statistics == ReuseStatistics(frames=3, whole=2, unchanged=1)


def test_windows_fit_their_halo_and_the_cells() -> None:
    geometry = Geometry(cell=2, reach=31, multiply_adds=Fraction(1))
    sizes = window_sizes(Size(960, 540), geometry)
    assert sizes == [Size(72, 72), Size(128, 128), Size(320, 192)]
    assert window_sizes(Size(400, 100), geometry) == [Size(72, 72), Size(128, 100)]


def test_windows_that_do_not_agree_are_refused() -> None:
    model, engine = find_model("quicksrnet-small-x2"), OnnxRuntimeEngine()
    geometry = Geometry(cell=1, reach=3, multiply_adds=Fraction(1))  # of the four it has
    opened = [
        engine.load(model, each, PixelFormat.RGB8) for each in (SIZE, *window_sizes(SIZE, geometry))
    ]
    with pytest.raises(
        EngineError, match="differently in a window of 64x64 than in a frame of 220"
    ):
        ReusingUpscaler(opened[0], opened[1:], geometry)


def test_a_float_model_is_refused() -> None:
    model = find_model("quicksrnet-small-x2-float")
    with pytest.raises(BadRequestError, match="is a float model: cut into windows it may round"):
        load_reusing(OnnxRuntimeEngine(), model, SIZE, PixelFormat.RGB8)


def test_loads_measures_and_says_what_the_network_is(caplog: pytest.LogCaptureFixture) -> None:
    model, engine = find_model("quicksrnet-small-x1.5"), OpenVinoEngine()
    upscaler = load_reusing(engine, model, SIZE, PixelFormat.RGBA8)
    assert (upscaler.name, upscaler.engine) == ("quicksrnet-small", "openvino")
    assert (upscaler.device, upscaler.emulated) == (engine.device, False)
    assert upscaler.output_shape == (258, 330, 4)
    assert upscaler._full_ms > 0
    pixels = SIZE.pixels
    for window in upscaler._windows:  # however disturbed the measurement was
        share = window.height * window.width / pixels
        assert window.cost_ms >= share * upscaler._full_ms
    with caplog.at_level(logging.INFO):
        upscaler.close()
    assert "quicksrnet-small with reuse, 0 frames" in caplog.text
    upscaler.close()
    with pytest.raises(EngineError, match="closed"):
        upscaler(np.zeros((172, 220, 4), np.uint8), np.zeros((258, 330, 4), np.uint8))


def test_a_size_that_the_model_cannot_take_is_refused() -> None:
    with pytest.raises(BadRequestError, match="multiples of 2"):
        load_reusing(
            OnnxRuntimeEngine(), find_model("quicksrnet-small-x1.5"), Size(65, 64), PixelFormat.RGB8
        )


def test_allocates_no_frame() -> None:
    watched = Watched(Size(480, 270))
    watched.show()
    watched.frame[10, 10] += 1
    watched.upscaler(watched.frame, watched.result)
    tracemalloc.start()
    watched.upscaler(watched.frame, watched.result)
    watched.frame[10, 10] += 1
    watched.upscaler(watched.frame, watched.result)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < watched.frame.nbytes
