from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.data import read_rgb
from upscaler.contract import Frame
from upscaler.images import write_image

NEEDS_TORCH = (
    "aimet",
    "bench",
    "checkpoint",
    "expand",
    "export",
    "graphed",
    "network",
    "optimise",
    "processes",
    "quantise",
    "recipes",
    "reproduce",
    "rounding",
    "run",
    "sampler",
    "tables",
    "train",
    "tuning",
)
# Without the `train` extra these modules cannot even be imported; everything else still runs.
collect_ignore = [] if find_spec("torch") else [f"test_{name}.py" for name in NEEDS_TORCH]

CLIP = Path(str(files("upscaler"))) / "demo" / "clip"
CUT_WIDTH, CUT_HEIGHT = 160, 120
ROLES = {"x2": 2.0, "x1.5": 1.5}
LOW_WIDTH, LOW_HEIGHT = 96, 72


def render(width: int, height: int, phase: float) -> NDArray[np.uint8]:
    """A moving gradient with a soft checkerboard over it, (H, W, 3), sampled at pixel centres."""
    x = (np.arange(width) + 0.5)[None, :] / width
    y = (np.arange(height) + 0.5)[:, None] / height
    board = np.tanh(4 * np.sin(25 * (x + phase)) * np.sin(20 * (y - phase)))
    colours = [x + 0 * y, 0 * x + y, (x + y + phase) / 3]
    picture = np.stack([0.7 * colour + 0.12 * (board + 1) for colour in colours], axis=-1)
    return np.rint(255 * picture.clip(0, 1)).astype(np.uint8)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks are slower on several threads, and very slow on busy ones."""
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pairs as the trainer expects it: 6 to train on, 3 to test on, two games."""
    root = tmp_path_factory.mktemp("frames")
    entries = []
    for index in range(9):
        game = "boards" if index % 3 else "slopes"
        pair = f"{game}/{index:02}"
        for role, scale in {"hr": None, **ROLES}.items():
            high = (2 * LOW_WIDTH, 2 * LOW_HEIGHT)
            size = high if scale is None else tuple(int(side / scale) for side in high)
            file = f"{index:02}_{role}.png"
            write_image(root / file, render(*size, phase=index / 9))
            entries.append(
                {
                    "file": file,
                    "game": game,
                    "scene": f"{index:02}",
                    "pair": pair,
                    "role": role,
                    "split": "train" if index < 6 else "test",
                    "licence": "CC0-1.0",
                }
            )
    (root / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def cuts() -> list[tuple[Frame, Frame]]:
    """Twelve cuts of a game's two native renders of one instant: 160x120, and 320x240 at 2x."""
    low, high = (read_rgb(CLIP / f"{name}.webp") for name in ("low", "native"))
    return [
        (
            low[top : top + CUT_HEIGHT, left : left + CUT_WIDTH],
            high[2 * top : 2 * (top + CUT_HEIGHT), 2 * left : 2 * (left + CUT_WIDTH)],
        )
        for top in range(0, 4 * CUT_HEIGHT, CUT_HEIGHT)
        for left in range(0, 3 * CUT_WIDTH, CUT_WIDTH)
    ]


def make_store(frames: Path, root: Path, scale: str) -> Path:
    """Put the pairs into a store: 4 to train on, 2 to validate with, 3 to test on."""
    from trainer.data import load_pairs
    from trainer.store import StoreWriter

    ratio = Fraction(scale)
    with StoreWriter(root, scale=ratio, degradation="native") as store:
        train = load_pairs(frames, split="train", scale=ratio)
        for pair in train[:4]:
            store.add(pair)
        for pair in train[4:]:
            store.add(replace(pair, split="validation"))
        for pair in load_pairs(frames, split="test", scale=ratio):
            store.add(pair)
    return root


@pytest.fixture(scope="session")
def store_x2(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs at 2x, prepared."""
    return make_store(frames, tmp_path_factory.mktemp("stores") / "x2", "2")


@pytest.fixture(scope="session")
def store_x15(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs at 1.5x, prepared."""
    return make_store(frames, tmp_path_factory.mktemp("stores") / "x15", "3/2")


@pytest.fixture
def picture() -> Callable[[int, int], NDArray[np.uint8]]:
    """Make an (H, W, 3) picture of one width and height."""
    return lambda width, height: render(width, height, 0.3)
