from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from protocol.errors import BadRequestError, ErrorCode
from upscaler.models.library import Model, find_model, model_for, open_model, shipped

MakeModel = Callable[..., Model]


@pytest.fixture
def folder(make_model: MakeModel) -> Path:
    """A folder with x2 in both number types and x3/2 in eight bits."""
    make_model(Fraction(2))
    make_model(Fraction(2), quantised=False)
    return make_model(Fraction(3, 2)).path.parent


def test_the_shipped_models_are_intact() -> None:
    for model in shipped():
        assert find_model(model.card.name) == model
        assert find_model(str(model.path)) == model


def test_finds_by_name_and_by_file(folder: Path) -> None:
    names = [model.card.name for model in shipped(folder)]
    assert names == ["example-2-1-float", "example-2-1-w8a8", "example-3-2-w8a8"]
    by_name = find_model("example-2-1-w8a8", folder=folder)
    assert by_name == find_model(str(folder / "example-2-1-w8a8.onnx"))
    assert by_name.proto().graph.name == "quicksrnet"


def test_each_proto_is_the_callers_own(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    model.proto().graph.name = "changed"
    assert model.proto().graph.name == "quicksrnet"


def test_finds_by_method_scale_and_number_type(folder: Path) -> None:
    def name(scale: Fraction, *, quantised: bool) -> str:
        return model_for("quicksrnet-small", scale, quantised=quantised, folder=folder).card.name

    assert name(Fraction(2), quantised=True) == "example-2-1-w8a8"
    assert name(Fraction(2), quantised=False) == "example-2-1-float"
    assert name(Fraction(3, 2), quantised=True) == "example-3-2-w8a8"


@pytest.mark.parametrize(
    ("method", "scale", "quantised", "code", "words"),
    [
        ("dlss", 2, True, ErrorCode.UNKNOWN_METHOD, "'dlss'; there are quicksrnet-small"),
        ("quicksrnet-small", 4, True, ErrorCode.UNSUPPORTED_SCALE, "it has 3/2x, 2x"),
        ("quicksrnet-small", Fraction(3, 2), False, ErrorCode.UNKNOWN_MODEL, "as a float model"),
    ],
)
def test_says_what_is_not_shipped(  # noqa: PLR0917 - one column for each
    folder: Path,
    method: str,
    scale: Fraction,
    quantised: bool,  # noqa: FBT001
    code: ErrorCode,
    words: str,
) -> None:
    with pytest.raises(BadRequestError, match=words) as caught:
        model_for(method, Fraction(scale), quantised=quantised, folder=folder)
    assert caught.value.code is code


def test_an_unknown_name_lists_the_shipped_ones(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="example-2-1-float, example-2-1-w8a8") as caught:
        find_model("medium", folder=folder)
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRequestError, match="none is installed"):
        find_model("medium", folder=tmp_path / "empty")


def test_a_file_that_is_missing_or_foreign_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"no model file .*missing\.onnx"):
        find_model(str(tmp_path / "missing.onnx"))
    text = tmp_path / "text"
    text.write_text("this is no model")
    with pytest.raises(BadRequestError, match="no readable ONNX model"):
        find_model(str(text))
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    with pytest.raises(BadRequestError, match="no readable ONNX model"):
        find_model(str(folder))


def test_a_model_without_a_card_says_so(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    proto = model.proto()
    del proto.metadata_props[:]
    onnx.save_model(proto, model.path)
    with pytest.raises(BadRequestError, match="carries no model card"):
        open_model(model.path)


def test_changed_weights_are_damage(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    proto = model.proto()
    initialiser = next(one for one in proto.graph.initializer if one.name == "conv0.weight")
    values = numpy_helper.to_array(initialiser).copy()
    values[0, 0, 0, 0] ^= 1
    initialiser.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), initialiser.name))
    onnx.save_model(proto, model.path)
    with pytest.raises(BadRequestError, match="is damaged: the SHA-256 of its weights"):
        find_model(str(model.path))


def test_a_truncated_file_is_unreadable(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))
    model.path.write_bytes(model.path.read_bytes()[:-2000])
    with pytest.raises(BadRequestError, match="no readable ONNX model"):
        model.proto()


def test_cards_are_read_without_onnx(folder: Path) -> None:
    program = (
        "import sys, pathlib; from upscaler.models.library import shipped; "
        "assert len(shipped(pathlib.Path(sys.argv[1]))) == 3; assert 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
