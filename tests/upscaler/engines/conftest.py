"""Models with random weights, written without torch."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from trainer.graph import Convolution, float_graph, quantised_graph
from upscaler.models.card import attach_card, weights_sha256
from upscaler.models.library import Model
from upscaler.testing import example_card, near_identity_weights

MakeModel = Callable[..., Model]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a near-identity QuickSRNet Small: make_model(scale, quantised=True, noise=0.03)."""

    def make(scale: Fraction, *, quantised: bool = True, noise: float = 0.03) -> Model:
        layers = [
            Convolution(
                weight=weight,
                bias=bias,
                weight_scale=np.abs(weight).max(axis=(1, 2, 3), initial=0.01) / np.float32(127),
            )
            for weight, bias in near_identity_weights(scale, noise=noise)
        ]
        proto = (quantised_graph if quantised else float_graph)(layers, scale)
        card = example_card(scale, weights_sha256=weights_sha256(proto), quantised=quantised)
        attach_card(proto, card)
        path = tmp_path / f"{card.name}.onnx"
        onnx.save_model(proto, path)
        return Model(card=card, path=path)

    return make


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth (32, 64, 4) uint8 picture with edges: ramps, blocks and a random alpha."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (4, 8, 4), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None]
    return np.where(random.random((32, 64, 1)) < 0.3, ramp, blocks).astype(np.uint8)
