"""Fixtures that several test files share: real processes, real sockets, a real game frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from protocol.frames import PixelFormat, Size
from trainer.graph import Convolution, float_graph, quantised_graph
from upscaler.bench.frames import game_frame
from upscaler.contract import Frame
from upscaler.models.card import attach_card, weights_sha256
from upscaler.models.library import Model
from upscaler.service.process import ServiceProcess
from upscaler.testing import example_card, near_identity_weights

MakeModel = Callable[..., Model]


@pytest.fixture(scope="session")
def service() -> Iterator[ServiceProcess]:
    """A service process with the default engine, for tests that leave it running."""
    with ServiceProcess() as running:
        yield running
        assert running.running, running.log()


@pytest.fixture
def frame() -> Frame:
    """A 64x36 cut of a real game frame, rgb8."""
    return game_frame(Size(64, 36), PixelFormat.RGB8)


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a near-identity QuickSRNet Small: make_model(scale, quantised=True, noise=0.03).

    `pooled` gives it the naive head of 1.5x, `reach` hidden activations of up to that.
    """

    def make(
        scale: Fraction,
        *,
        quantised: bool = True,
        noise: float = 0.03,
        pooled: bool = False,
        reach: float = 1.0,
    ) -> Model:
        layers = [
            Convolution(
                weight=weight,
                bias=bias,
                weight_scale=np.abs(weight).max(axis=(1, 2, 3), initial=0.01) / np.float32(127),
                activation_scale=reach / 255,
            )
            for weight, bias in near_identity_weights(scale, noise=noise, pooled=pooled)
        ]
        layers[-1] = replace(layers[-1], activation_scale=1 / 255)
        write = quantised_graph if quantised else float_graph
        proto = write(layers, scale, pooled=pooled)
        card = example_card(scale, weights_sha256=weights_sha256(proto), quantised=quantised)
        attach_card(proto, card)
        path = tmp_path / f"{card.name}.onnx"
        onnx.save_model(proto, path)
        return Model(card=card, path=path)

    return make
