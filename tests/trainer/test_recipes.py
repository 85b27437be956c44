from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import BadRequestError
from trainer.recipes import RECIPES, find_recipe, fitted, varied


def test_the_papers_recipe() -> None:
    paper = find_recipe("paper")
    assert (paper.loss, paper.optimiser, paper.batch) == ("l1", "adam", 32)
    rates = [paper.rate_at(thousands * 1000) for thousands in (0, 199, 200, 400, 999)]
    assert rates == [5e-4, 5e-4, 2.5e-4, 1.25e-4, 3.125e-5]


def test_a_shorter_run_halves_as_often() -> None:
    short = varied(find_recipe("paper"), iterations=100)
    assert short.rate_at(99) == 3.125e-5


def test_a_cosine_rises_then_falls_to_a_hundredth() -> None:
    recipe = varied(find_recipe("fast"), iterations=10_000, rate=1.0)
    assert recipe.rate_at(0) == pytest.approx(1 / 200)
    assert recipe.rate_at(200) == pytest.approx(1.0, abs=0.01)
    assert recipe.rate_at(10_000) == pytest.approx(0.01)


def test_the_end_settles_in_float32() -> None:
    recipe = varied(find_recipe("fast"), iterations=1000)
    assert not recipe.settled_at(949)
    assert recipe.settled_at(950)
    assert recipe.settled_at(999)


def test_a_summary_for_the_card() -> None:
    assert find_recipe("fast").summary.startswith("mse loss, batches of")
    ablation = varied(find_recipe("paper"), identity=False, expand=64, iterations=None)
    for part in ("l1 loss", "in 5 halving parts", "to 64", "without identity", "seed 1"):
        assert part in ablation.summary


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "vgg"}, "unknown loss 'vgg'; choose one of l1, mse"),
        ({"precision": "int4"}, "unknown precision 'int4'; choose float32, tf32, bfloat16"),
        ({"iterations": 0}, "at least one iteration"),
    ],
)
def test_refuses_what_no_recipe_can_have(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRequestError, match=sentence):
        varied(RECIPES["fast"], **changes)


def test_an_unknown_recipe_is_told_the_names() -> None:
    with pytest.raises(BadRequestError, match="unknown recipe 'huge'; choose one of paper, fast"):
        find_recipe("huge")


def test_the_rate_of_muon_falls_with_depth_and_that_of_adam_does_not() -> None:
    fast, paper = find_recipe("fast"), find_recipe("paper")
    assert fitted(fast, 1) == fitted(fast, 2) == fast
    assert fitted(fast, 5).rate == pytest.approx(0.4 * fast.rate)
    assert fitted(paper, 11) == paper
