from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from protocol.errors import BadRequestError
from trainer.checkpoint import (
    FORMAT,
    architecture_from,
    architecture_state,
    load_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from trainer.network import Architecture, QuickSRNet
from trainer.recipes import RECIPES

ODD = Architecture(
    width=8, depth=1, scale=Fraction(3, 2), head="pooled", activation="relu", residual=True
)


def state_of(network: QuickSRNet) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "architecture": architecture_state(network.architecture),
        "recipe": asdict(RECIPES["fast"]),
        "data": "0123",
        "averaged": network.state_dict(),
        "network": {},
        "optimisers": [],
        "done": 7,
    }


@pytest.mark.parametrize("architecture", [Architecture(), ODD])
def test_the_averaged_network_comes_back(tmp_path: Path, architecture: Architecture) -> None:
    network = QuickSRNet(architecture)
    write_checkpoint(tmp_path / "new" / "checkpoint.pt", state_of(network))
    trained = load_checkpoint(tmp_path / "new" / "checkpoint.pt")
    low = torch.rand(1, 3, 6, 8)
    assert trained.network.architecture == architecture
    assert trained.done == 7
    assert trained.training.startswith("recipe fast, 7 iterations (mse loss")
    assert not trained.network.training
    assert torch.equal(trained.network(low), network(low))


def test_an_architecture_survives_as_plain_values() -> None:
    assert architecture_from(architecture_state(ODD)) == ODD


def test_a_failed_write_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, state_of(QuickSRNet(Architecture(width=8, depth=1))))
    with pytest.raises(TypeError):
        write_checkpoint(path, {"network": (never for never in ())})
    assert load_checkpoint(path).done == 7
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.symlink_to("/dev/full")
    (tmp_path / ".checkpoint.pt.draft").symlink_to("/dev/full")
    with pytest.raises(BadRequestError, match=r"cannot write the checkpoint .*checkpoint\.pt"):
        write_checkpoint(path, {"weights": torch.zeros(1_000_000)})


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadRequestError, match=r"cannot write the checkpoint .*file"):
        write_checkpoint(tmp_path / "file" / "checkpoint.pt", {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"cannot read the checkpoint .*absent\.pt"):
        read_checkpoint(tmp_path / "absent.pt")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.pt").write_bytes(content)
    with pytest.raises(BadRequestError, match=r"odd\.pt is no checkpoint"):
        read_checkpoint(tmp_path / "odd.pt")


@pytest.mark.parametrize("content", [[1, 2], {"network": {}}])
def test_another_file_of_torch_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(BadRequestError, match="no checkpoint of this version of upscaler-train"):
        read_checkpoint(tmp_path / "other.pt")


def test_another_network_is_refused(tmp_path: Path) -> None:
    state = {**state_of(QuickSRNet(Architecture())), "averaged": {"weight": torch.ones(1)}}
    write_checkpoint(tmp_path / "other.pt", state)
    with pytest.raises(BadRequestError, match="holds no QuickSRNet"):
        load_checkpoint(tmp_path / "other.pt")
