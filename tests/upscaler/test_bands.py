from __future__ import annotations

from collections.abc import Callable

import pytest

from upscaler.bands import BANDS, in_bands


def recorder(seen: list[tuple[int, int, int]]) -> Callable[[int, int, int], None]:
    return lambda band, start, stop: seen.append((band, start, stop))


@pytest.mark.parametrize("rows", [1, 2, 3, 1080])
def test_bands_cover_every_row_once(rows: int) -> None:
    seen: list[tuple[int, int, int]] = []
    in_bands(recorder(seen), 5, 5 + rows)
    covered = [row for _, start, stop in sorted(seen) for row in range(start, stop)]
    assert covered == list(range(5, 5 + rows))
    assert len(seen) == min(BANDS, rows)


def test_an_error_in_any_band_is_raised() -> None:
    def fail(band: int, start: int, stop: int) -> None:
        if band == BANDS - 1:
            raise ArithmeticError((start, stop))

    with pytest.raises(ArithmeticError):
        in_bands(fail, 0, 100)
