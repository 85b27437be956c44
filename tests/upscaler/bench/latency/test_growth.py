from __future__ import annotations

import pytest

from upscaler.bench.latency.growth import fit_growth


def test_a_power_law_is_found() -> None:
    pixels = [0.5e6, 1e6, 2e6, 8e6]
    growth = fit_growth(pixels, [3 * (each / 1e6) ** 0.9 for each in pixels])
    assert growth is not None
    assert growth.exponent == pytest.approx(0.9)
    assert growth.ms_at_1mp == pytest.approx(3)
    assert growth.r_squared == pytest.approx(1)
    assert growth.ms_at(4e6) == pytest.approx(3 * 4**0.9)


def test_noise_lowers_the_fit() -> None:
    growth = fit_growth([1e6, 2e6, 4e6, 8e6], [1, 4, 2, 8])
    assert growth is not None
    assert growth.r_squared < 0.8


def test_times_that_do_not_grow() -> None:
    growth = fit_growth([1e6, 2e6, 4e6], [2, 2, 2])
    assert growth is not None
    assert growth.exponent == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("pixels", "times"),
    [([1e6, 2e6], [1, 2]), ([1e6, 1e6, 2e6], [1, 1, 2]), ([1, 2, 3], [1, 0, 2])],
)
def test_too_little_for_a_fit(pixels: list[float], times: list[float]) -> None:
    assert fit_growth(pixels, times) is None
