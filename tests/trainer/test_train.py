from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from protocol.errors import BadRequestError
from trainer.network import Architecture, QuickSRNet
from trainer.recipes import RECIPES, Recipe, find_recipe
from trainer.store import Store
from trainer.train import Trainer, resume

SMALLEST = Architecture(width=8, depth=1)
TINY = replace(RECIPES["fast"], iterations=40, batch=4, patch=16, warmup=0, precision="float32")


@pytest.fixture(scope="module")
def store(store_x2: Path) -> Store:
    return Store(store_x2)


def weights(trainer: Trainer) -> list[torch.Tensor]:
    networks = (trainer.network, trainer.averaged)
    return [each.detach().clone() for network in networks for each in network.parameters()]


def steps(trainer: Trainer, count: int) -> list[float]:
    return [float(trainer.step()) for _ in range(count)]


@pytest.mark.parametrize("name", ["fast", "paper"])
def test_the_loss_falls(store: Store, name: str) -> None:
    recipe = replace(find_recipe(name), iterations=150, batch=4, patch=16)
    losses = steps(Trainer(recipe, SMALLEST, store), 150)
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])


@pytest.mark.parametrize(
    "recipe",
    [
        TINY,
        replace(TINY, optimiser="adam", schedule="halving"),
        replace(TINY, iterations=16, precision="bfloat16", settle=0.5),
        replace(TINY, expand=16),
    ],
    ids=["muon", "adam", "bfloat16", "expanded"],
)
def test_a_resumed_run_is_bit_identical(store: Store, tmp_path: Path, *, recipe: Recipe) -> None:
    straight = Trainer(recipe, SMALLEST, store)
    steps(straight, 12)
    first = Trainer(recipe, SMALLEST, store)
    steps(first, 5)
    first.save(tmp_path / "checkpoint.pt")
    second = resume(tmp_path / "checkpoint.pt", store)
    steps(second, 7)
    assert second.recipe == recipe
    assert second.done == straight.done == 12
    assert all(map(torch.equal, weights(second), weights(straight)))


def test_a_seed_reproduces_a_run_and_another_does_not(store: Store) -> None:
    runs = [Trainer(replace(TINY, seed=seed), SMALLEST, store) for seed in (1, 1, 2)]
    first, again, other = (steps(run, 3) for run in runs)
    assert first == again
    assert all(map(torch.equal, weights(runs[0]), weights(runs[1])))
    assert first != other


def test_the_last_steps_run_in_float32(store: Store) -> None:
    recipes = [
        replace(TINY, precision="bfloat16", settle=0.0),
        replace(TINY, precision="bfloat16", settle=1.0),
        TINY,
    ]
    rounded, settled, exact = (steps(Trainer(each, SMALLEST, store), 1) for each in recipes)
    assert rounded != exact
    assert settled == exact


def test_the_average_lags_behind_the_weights(store: Store) -> None:
    trainer = Trainer(replace(TINY, average=0.9), SMALLEST, store)
    steps(trainer, 10)
    before = trainer.averaged.conv_last.weight.clone()
    steps(trainer, 1)
    now, live = trainer.averaged.conv_last.weight, trainer.network.conv_last.weight
    decay = min(0.9, 11 / 20)
    assert torch.allclose(now, before.lerp(live, 1 - decay), atol=1e-6)


def test_without_averaging_the_weights_themselves_are_kept(store: Store) -> None:
    trainer = Trainer(replace(TINY, average=0.0), SMALLEST, store)
    steps(trainer, 2)
    assert torch.equal(trainer.averaged.conv_last.weight, trainer.network.conv_last.weight)


def test_an_expanded_run_leaves_a_plain_network(store: Store) -> None:
    trainer = Trainer(replace(TINY, expand=16, average=0.0, rounding=False), SMALLEST, store)
    steps(trainer, 3)
    low = torch.rand(1, 3, 8, 8)
    assert torch.allclose(trainer.averaged(low), trainer.network(low), atol=1e-6)
    assert set(trainer.averaged.state_dict()) == set(QuickSRNet(SMALLEST).state_dict())


def test_fine_tuning_starts_from_given_weights(store: Store) -> None:
    given = QuickSRNet(SMALLEST)
    trainer = Trainer(TINY, SMALLEST, store, start=given)
    assert torch.equal(trainer.averaged.conv_last.weight, given.conv_last.weight)
    assert torch.equal(trainer.network.cnn[0].weight, given.cnn[0].weight)  # type: ignore[arg-type]


def test_another_scale_lends_all_but_the_last_layer(store: Store) -> None:
    given = QuickSRNet(replace(SMALLEST, scale=Fraction(3)))
    trainer = Trainer(TINY, SMALLEST, store, start=given)
    assert torch.equal(trainer.network.cnn[2].weight, given.cnn[2].weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("larger", [{"depth": 4}, {"width": 12}, {"depth": 3, "width": 20}])
@pytest.mark.parametrize("scale", [Fraction(2), Fraction(3, 2)])
def test_a_larger_network_begins_as_the_smaller_one(
    store: Store, store_x15: Path, *, scale: Fraction, larger: dict[str, int]
) -> None:
    small = replace(SMALLEST, scale=scale)
    given = QuickSRNet(small).eval()
    pairs = store if scale == store.scale else Store(store_x15)
    trainer = Trainer(TINY, replace(small, **larger), pairs, start=given)
    low = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(trainer.averaged(low), given(low))


def test_weights_of_another_size_are_refused(store: Store) -> None:
    with pytest.raises(BadRequestError, match="f9-m1, another architecture than f8-m1"):
        Trainer(TINY, SMALLEST, store, start=QuickSRNet(replace(SMALLEST, width=9)))


def test_another_scale_than_the_stores_is_refused(store: Store) -> None:
    with pytest.raises(BadRequestError, match=r"holds pairs for 2x, not for 3x"):
        Trainer(TINY, replace(SMALLEST, scale=Fraction(3)), store)


@pytest.mark.parametrize(
    ("recipe", "architecture", "what"),
    [
        (replace(TINY, seed=5), SMALLEST, "another recipe"),
        (TINY, replace(SMALLEST, width=9), "another architecture"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    store: Store, tmp_path: Path, *, recipe: Recipe, architecture: Architecture, what: str
) -> None:
    Trainer(TINY, SMALLEST, store).save(tmp_path / "checkpoint.pt")
    with pytest.raises(BadRequestError, match=what):
        Trainer(recipe, architecture, store).load(tmp_path / "checkpoint.pt")


def test_a_checkpoint_of_another_store_is_refused(
    store: Store, store_x15: Path, tmp_path: Path
) -> None:
    Trainer(TINY, SMALLEST, store).save(tmp_path / "checkpoint.pt")
    with pytest.raises(BadRequestError, match=r"holds pairs for 3/2x, not for 2x"):
        resume(tmp_path / "checkpoint.pt", Store(store_x15))
