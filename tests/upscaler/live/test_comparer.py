from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from protocol.errors import ServiceError
from upscaler.control import Control
from upscaler.live.comparer import NAME, Comparer
from upscaler.live.shot import Shot
from upscaler.service.process import ServiceProcess


def sessions(service: ServiceProcess) -> list[str]:
    """Methods of the viewer's sessions, as the service reports them."""
    with Control(service.endpoint) as control:
        return sorted(each.method for each in control.report().clients if each.name == NAME)


def test_shots_are_upscaled_by_any_method(service: ServiceProcess, shot: Shot) -> None:
    comparer = Comparer(service.endpoint)
    nearest = comparer.upscale(shot, "nearest")
    assert np.array_equal(nearest.pixels[::2, ::2], shot.source)
    kept = nearest.pixels.copy()
    bicubic = comparer.upscale(shot, "bicubic")
    for _ in range(8):
        comparer.upscale(replace(shot, source=255 - shot.source), "nearest")
    assert np.array_equal(nearest.pixels, kept)  # a copy, no slot
    assert not np.array_equal(bicubic.pixels, kept)
    assert bicubic.timing is not None
    assert sessions(service) == ["bicubic", "nearest"]
    comparer.keep(shot, {"bicubic"})
    assert sessions(service) == ["bicubic"]
    comparer.keep(replace(shot, scale=Fraction(3)), {"bicubic"})
    assert sessions(service) == []
    comparer.upscale(replace(shot, scale=Fraction(3)), "bicubic")
    comparer.close()
    comparer.close()
    assert sessions(service) == []


def test_what_the_service_has_not_is_said(service: ServiceProcess, shot: Shot) -> None:
    comparer = Comparer(service.endpoint)
    with pytest.raises(ServiceError, match="unknown method 'dlss'"):
        comparer.upscale(shot, "dlss")
    with pytest.raises(ServiceError, match="quicksrnet-medium has no model for 3x"):
        comparer.upscale(replace(shot, scale=Fraction(3)), "quicksrnet-medium")
    assert comparer.upscale(shot, "nearest").pixels.shape == (72, 128, 3)
    comparer.close()
