from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from protocol.errors import BadRequestError
from trainer.checkpoint import architecture_of, load_checkpoint, read_checkpoint, write_checkpoint
from trainer.network import SCALES, Architecture, QuickSRNet


def state_of(network: QuickSRNet) -> dict[str, object]:
    weights = network.state_dict()
    return {"network": {}, "averaged": weights, "optimiser": {}, "generator": 0, "done": 7}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("width", "depth"), [(8, 0), (16, 3)])
def test_the_architecture_is_read_off_the_weights(scale: Fraction, width: int, depth: int) -> None:
    architecture = Architecture(width=width, depth=depth, scale=scale)
    assert architecture_of(QuickSRNet(architecture).state_dict()) == architecture


def test_the_averaged_network_comes_back(tmp_path: Path) -> None:
    network = QuickSRNet(Architecture(width=8, depth=1))
    write_checkpoint(tmp_path / "new" / "checkpoint.pt", state_of(network))
    loaded, done = load_checkpoint(tmp_path / "new" / "checkpoint.pt")
    low = torch.rand(1, 3, 6, 8)
    assert done == 7
    assert not loaded.training
    assert torch.equal(loaded(low), network(low))


def test_a_failed_write_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    network = QuickSRNet(Architecture(width=8, depth=1))
    write_checkpoint(path, state_of(network))
    with pytest.raises(TypeError):
        write_checkpoint(path, {"network": (never for never in ())})
    assert load_checkpoint(path)[1] == 7
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]


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
    with pytest.raises(BadRequestError, match="no checkpoint of upscaler-train"):
        read_checkpoint(tmp_path / "other.pt")


def test_another_network_is_refused(tmp_path: Path) -> None:
    state = {**state_of(QuickSRNet(Architecture())), "averaged": {"weight": torch.ones(1)}}
    write_checkpoint(tmp_path / "other.pt", state)
    with pytest.raises(BadRequestError, match="holds no QuickSRNet"):
        load_checkpoint(tmp_path / "other.pt")
