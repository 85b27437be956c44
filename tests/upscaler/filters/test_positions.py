from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from upscaler.filters.positions import centred


@given(st.integers(1, 300), st.integers(100, 400))
def test_passes_hold_every_output_pixel_once(side: int, percent: int) -> None:
    upscaled = max(side, side * percent // 100)
    made = centred(side, upscaled)
    assert made.whole.min() >= -1
    assert made.whole.max() <= side - 1
    assert np.all((made.fraction >= 0) & (made.fraction <= 1))
    assert np.unique(made.order).size == upscaled
    assert np.array_equal(made.passes.ravel()[made.order], made.fraction)
    assert np.array_equal(made.order % (side + 1), made.whole + 1)
    assert len(made.passes) <= 5


def test_whole_ratios_have_one_fraction_in_a_pass() -> None:
    for ratio in (2, 3, 4):
        made = centred(32, 32 * ratio)
        assert len(made.passes) == ratio
        for turn in range(ratio):
            assert np.ptp(made.fraction[made.order // 33 == turn]) < 1e-5  # float32


def test_fsr1s_positions_at_2x() -> None:
    made = centred(4, 8)
    assert made.whole.tolist() == [-1, 0, 0, 1, 1, 2, 2, 3]
    assert made.fraction.tolist() == [0.75, 0.25] * 4
