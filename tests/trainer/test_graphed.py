from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.network import Architecture
from trainer.processes import alone
from trainer.recipes import RECIPES
from trainer.store import Store
from trainer.train import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

RECIPE = replace(RECIPES["fast"], iterations=20, batch=4, patch=16, settle=0.3)


def test_a_replayed_step_is_the_step(store_x2: Path) -> None:
    losses = []
    for graphed in (False, True):
        trainer = Trainer(
            replace(RECIPE, graphed=graphed),
            Architecture(width=8, depth=1),
            Store(store_x2),
            processes=alone(torch.device("cuda")),
        )
        losses.append([float(trainer.step()) for _ in range(20)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
