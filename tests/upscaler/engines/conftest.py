"""A picture for the engines to upscale, and contexts that no compiler made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from upscaler.engines.contexts import Entry, Purpose, make_entry
from upscaler.engines.socs import find_soc
from upscaler.models.library import Model

MakePurpose = Callable[..., Purpose]
MakeContext = Callable[..., Entry]


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth (32, 64, 4) uint8 picture with edges: ramps, blocks and a random alpha."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (4, 8, 4), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None]
    return np.where(random.random((32, 64, 1)) < 0.3, ramp, blocks).astype(np.uint8)


@pytest.fixture
def turned() -> Callable[[Model], Model]:
    """Make rows and columns of a model change places at both ends; returns the model."""

    def turn(model: Model) -> Model:
        proto = model.proto()
        for node in proto.graph.node:
            if node.op_type == "Transpose":
                node.attribute[0].ints[:] = [0, 3, 2, 1]
        onnx.save_model(proto, model.path)
        return model

    return turn


@pytest.fixture
def make_purpose() -> MakePurpose:
    """Make a purpose: of example at 64x32, rgb8, for SM8650, but for what is given."""

    def make(**changes: Any) -> Purpose:
        given = {
            "model": "example",
            "scale": "2",
            "weights_sha256": "1" * 64,
            "network_sha256": "2" * 64,
            "input_size": "64x32",
            "pixel_format": "rgb8",
            "socs": (find_soc("sm8650"),),
            "libraries": {"QAIRT": "2.51.0"},
            "options": {"optimization": "3", "vtcm_mb": "all"},
        }
        return Purpose(**(given | changes))

    return make


@pytest.fixture
def make_context() -> MakeContext:
    """Write files that stand for a context into a folder, and describe them: make(folder, purpose).

    They hold `content`, and are named by `stem`.
    """

    def make(
        folder: Path, purpose: Purpose, *, stem: str = "context", content: bytes = b"context"
    ) -> Entry:
        names = [f"{stem}.onnx", f"{stem}_qnn.bin"]
        for name in names:
            (folder / name).write_bytes(content)
        return make_entry(purpose, folder, names, [])

    return make
