from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trainer.bench import measure
from trainer.network import Architecture
from trainer.recipes import RECIPES
from trainer.store import Store
from trainer.train import Trainer


def test_a_step_takes_longer_than_its_crops(store_x2: Path) -> None:
    recipe = replace(RECIPES["fast"], batch=2, patch=16)
    trainer = Trainer(recipe, Architecture(width=8, depth=1), Store(store_x2))
    speed = measure(trainer, rounds=2, steps_per_round=3)
    assert trainer.done == 9
    assert 0 < speed.draw_s < speed.step_s
    assert 0 < speed.network_share < 1
    assert speed.steps_per_second == 1 / speed.step_s
