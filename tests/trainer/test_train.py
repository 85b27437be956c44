from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from protocol.errors import BadRequestError
from trainer.data import LoadedPair, load_split
from trainer.network import Architecture
from trainer.recipes import RECIPES, find_recipe
from trainer.train import Recipe, Trainer, run

TINY = Recipe(
    architecture=Architecture(width=8, depth=1), iterations=40, batch=4, patch=16, rate=3e-3
)


@pytest.fixture(scope="module")
def pairs(frames: Path) -> list[LoadedPair]:
    return load_split(frames, split="train", scale=Fraction(2))


def weights(trainer: Trainer) -> list[torch.Tensor]:
    networks = (trainer.network, trainer.averaged)
    return [each.detach().clone() for network in networks for each in network.parameters()]


def test_the_loss_falls(pairs: list[LoadedPair]) -> None:
    trainer = Trainer(replace(TINY, iterations=150), pairs)
    losses = [trainer.step() for _ in range(150)]
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_resumed_run_is_bit_identical(
    pairs: list[LoadedPair], tmp_path: Path, *, bfloat16: bool
) -> None:
    recipe = replace(TINY, bfloat16=bfloat16, settle=3)
    straight = Trainer(recipe, pairs)
    for _ in range(12):
        straight.step()
    first = Trainer(recipe, pairs)
    for _ in range(5):
        first.step()
    first.save(tmp_path / "checkpoint.pt")
    second = Trainer(recipe, pairs)
    second.resume(tmp_path / "checkpoint.pt")
    for _ in range(7):
        second.step()
    assert second.done == straight.done == 12
    assert all(map(torch.equal, weights(second), weights(straight)))


def test_the_last_steps_run_in_float32(pairs: list[LoadedPair]) -> None:
    rounded = Trainer(replace(TINY, iterations=9, bfloat16=True, settle=0), pairs)
    settled = Trainer(replace(TINY, iterations=9, bfloat16=True, settle=9), pairs)
    exact = Trainer(replace(TINY, iterations=9), pairs)
    first = [trainer.step() for trainer in (rounded, settled, exact)]
    assert first[0] != first[2]
    assert first[1] == first[2]


def test_a_run_saves_as_it_goes_and_yields_mean_losses(
    pairs: list[LoadedPair], tmp_path: Path
) -> None:
    trainer = Trainer(replace(TINY, iterations=10), pairs)
    seen = []
    for loss in run(trainer, tmp_path / "checkpoint.pt", save_every=4):
        saved = Trainer(TINY, pairs)
        saved.resume(tmp_path / "checkpoint.pt")
        assert saved.done == trainer.done
        assert all(map(torch.equal, weights(saved), weights(trainer)))
        assert loss > 0
        seen.append(trainer.done)
    assert seen == [4, 8, 10]


def test_a_stopped_run_saves_the_step_it_reached(pairs: list[LoadedPair], tmp_path: Path) -> None:
    trainer = Trainer(TINY, pairs)
    losses = list(run(trainer, tmp_path / "checkpoint.pt", stop=lambda: trainer.done >= 3))
    assert len(losses) == 1
    resumed = Trainer(TINY, pairs)
    resumed.resume(tmp_path / "checkpoint.pt")
    assert resumed.done == 3


def test_a_checkpoint_of_another_architecture_is_refused(
    pairs: list[LoadedPair], tmp_path: Path
) -> None:
    Trainer(TINY, pairs).save(tmp_path / "checkpoint.pt")
    wider = Trainer(replace(TINY, architecture=Architecture(width=9, depth=1)), pairs)
    with pytest.raises(BadRequestError, match="another architecture"):
        wider.resume(tmp_path / "checkpoint.pt")


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    recipe = replace(TINY, iterations=10_000, rate=1.0)
    assert recipe.rate_at(0) == pytest.approx(1 / 200)
    assert recipe.rate_at(200) == pytest.approx(1.0, abs=0.01)
    assert recipe.rate_at(10_000) == pytest.approx(0.01)


def test_recipes_by_name() -> None:
    assert find_recipe("small-x2") is RECIPES["small-x2"]
    assert "mse loss" in find_recipe("small-x2").summary
    with pytest.raises(BadRequestError, match="unknown recipe 'huge'; choose one of small-x2"):
        find_recipe("huge")
