from __future__ import annotations

from fractions import Fraction

import pytest

from protocol.errors import BadRequestError
from trainer.network import Architecture
from trainer.tables import TABLES, find_table, multiplications


@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        (Architecture(), 22_752),
        (Architecture(width=32, depth=5), 50_400),
        # 27 outputs from 4 x 32 inputs for each block of four pixels.
        (Architecture(scale=Fraction(3, 2)), 864 + 2 * 9216 + 27 * 32),
        (Architecture(scale=Fraction(3, 2), head="pooled"), 864 + 2 * 9216 + 27 * 32 * 9),
    ],
)
def test_multiplications(architecture: Architecture, count: int) -> None:
    assert multiplications(architecture) == count


def test_the_five_tables() -> None:
    assert set(TABLES) == {"table2", "table4", "table5", "table7", "figure7"}
    with pytest.raises(BadRequestError, match="unknown table 'table1'; choose one of table2"):
        find_table("table1")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_rows_are_whole(table: object) -> None:
    labels = [row.label for row in table.rows]  # type: ignore[attr-defined]
    assert len(set(labels)) == len(labels)
    for row in table.rows:  # type: ignore[attr-defined]
        assert (row.filter is None) != (row.network is None)
        if row.network is not None:
            assert row.network.architecture.scale == table.scale  # type: ignore[attr-defined]


def test_one_name_is_one_network() -> None:
    for table in TABLES.values():
        networks = {row.network.name: row.network for row in table.rows if row.network}
        for row in table.rows:
            if row.network:
                assert networks[row.network.name] == row.network


def test_the_papers_figures_are_for_bsd100() -> None:
    known = {row.label: row.paper for row in TABLES["table4"].rows if row.paper}
    assert known["float"] == {"BSD100": 31.61}
    assert known["ptq-per-tensor"] == {"BSD100": 30.81}
    assert len(known) == 5
