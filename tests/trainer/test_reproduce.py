from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import pytest

from protocol.errors import BadRequestError
from trainer.network import Architecture
from trainer.recipes import RECIPES
from trainer.reproduce import (
    Plan,
    Reproduction,
    draw,
    load_taken,
    measure,
    networks_of,
    to_csv,
    to_markdown,
    train_network,
)
from trainer.store import Store
from trainer.tables import Network, Row, Table
from trainer.train import Trainer
from upscaler.images import read_image

SMALLEST = Network(name="f8-m1", architecture=Architecture(width=8, depth=1))
NOISY = Network(name="noisy", architecture=SMALLEST.architecture, changes={"noise": 1.0})
TABLE = Table(
    name="table9",
    title="A test",
    scale=Fraction(2),
    luma=True,
    rows=(
        Row(label="bicubic", filter="bicubic"),
        Row(label="float", network=SMALLEST, paper={"test": 31.5}),
        Row(label="int8", network=SMALLEST, method="ptq-per-channel"),
        Row(label="noisy", network=NOISY),
    ),
    margins={"bicubic": 0.83},
)
RECIPE = replace(RECIPES["fast"], iterations=400, batch=2, patch=16, precision="float32")
PLAN = Plan(recipe=RECIPE, budget=0.01, taken={})


def train(store: Store, folder: Path, plan: Plan = PLAN, network: Network = SMALLEST) -> int:
    reports = list(train_network(network, store, folder, plan, stop=lambda: False))
    return reports[-1].done if reports else 0


def test_a_network_is_needed_once() -> None:
    assert [network.name for network in networks_of(TABLE)] == ["f8-m1", "noisy"]


def test_the_budget_scales_the_iterations() -> None:
    assert PLAN.iterations == 4
    assert replace(PLAN, budget=1e-6).iterations == 1


def test_a_finished_network_is_not_trained_again(store_x2: Path, tmp_path: Path) -> None:
    store = Store(store_x2)
    assert train(store, tmp_path) == 4
    assert train(store, tmp_path) == 0


def test_a_network_trained_otherwise_is_refused(store_x2: Path, tmp_path: Path) -> None:
    store = Store(store_x2)
    train(store, tmp_path)
    with pytest.raises(BadRequestError, match="was trained otherwise"):
        train(store, tmp_path, replace(PLAN, budget=0.02))


def test_a_given_checkpoint_must_fit(store_x2: Path, tmp_path: Path) -> None:
    Trainer(RECIPE, Architecture(width=9, depth=1), Store(store_x2)).save(tmp_path / "given.pt")
    plan = replace(PLAN, taken={"f8-m1": tmp_path / "given.pt"})
    with pytest.raises(BadRequestError, match="another architecture than f8-m1"):
        load_taken(plan, SMALLEST)


@pytest.mark.skipif(find_spec("aimet_torch") is None, reason="AIMET is missing")
@pytest.mark.parametrize("by_cost", [False, True])
def test_a_measured_table_in_three_forms(store_x2: Path, tmp_path: Path, *, by_cost: bool) -> None:
    store = Store(store_x2)
    table = replace(TABLE, by_cost=by_cost)
    trained = {}
    for network in networks_of(table):
        trainer = Trainer(RECIPE, network.architecture, store)
        trainer.step()
        trainer.save(tmp_path / f"{network.name}.pt")
        plan = replace(PLAN, taken={network.name: tmp_path / f"{network.name}.pt"})
        trained[network.name] = load_taken(plan, network)
    cells = measure(table, trained, store, {"test": store.pairs("test")}, PLAN)
    result = Reproduction(table=table, sets=["test"], cells=cells, conditions="Four steps.")
    markdown = to_markdown(result)
    assert f"{cells['float', 'test'].psnr_db:.3f} / 31.50" in markdown
    assert f"{cells['int8', 'test'].psnr_db:.3f} / - " in markdown
    assert "over bicubic on test" in markdown
    assert "paper +0.83 dB" in markdown
    widths = {line.count("|") for line in markdown.splitlines() if line.startswith("|")}
    assert len(widths) == 1
    lines = to_csv(result).splitlines()
    assert len(lines) == 5
    assert lines[2].startswith("table9,float,test,")
    draw(result, tmp_path / "table.png")
    assert read_image(tmp_path / "table.png").shape[0] > 300
