from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import BadRequestError, EngineError, ErrorCode, UpscalerError
from protocol.frames import PixelFormat, Size
from upscaler.engines.contexts import (
    ContextFolder,
    Entry,
    Purpose,
    add_entry,
    checked_file,
    network_sha256,
    read_manifest,
)
from upscaler.engines.socs import find_soc
from upscaler.models.card import attach_card
from upscaler.models.library import Model
from upscaler.models.specialise import specialise

MakeModel = Callable[..., Model]
MakePurpose = Callable[..., Purpose]
MakeContext = Callable[..., Entry]


def test_a_manifest_says_all_that_was_put_in(
    make_purpose: MakePurpose, make_context: MakeContext, tmp_path: Path
) -> None:
    first = make_context(tmp_path, make_purpose(), stem="first")
    add_entry(tmp_path, first)
    second = make_context(tmp_path, make_purpose(input_size="8x8"), stem="second")
    add_entry(tmp_path, second)
    assert read_manifest(tmp_path).entries == [first, second]
    again = make_context(tmp_path, make_purpose(), stem="first", content=b"other")
    add_entry(tmp_path, again)
    assert read_manifest(tmp_path).entries == [second, again]
    written = json.loads((tmp_path / "manifest.json").read_text())
    purpose = written["entries"][1]["purpose"]
    assert purpose["socs"] == [
        {"code": "SM8650", "name": "Snapdragon 8 Gen 3", "id": 57, "architecture": 75}
    ]
    assert purpose["libraries"] == {"QAIRT": "2.51.0"}
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*first.files, *second.files, "manifest.json"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "has no manifest.json: it is no folder of contexts; write the folder again"),
        ("", "manifest.json is damaged"),
        ("{}", "is of another version of upscaler .None.; write"),
        ('{"format": 99, "upscaler": "9.9"}', "is of another version of upscaler .9.9.; write"),
        ('{"format": 1, "upscaler": "1", "entries": [{}]}', "manifest.json is damaged .*missing"),
        ("[]", "manifest.json is damaged"),
    ],
)
def test_a_manifest_that_cannot_be_read(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(EngineError, match=words):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../x.onnx", "/etc/passwd", "a/b", ""])
def test_a_manifest_names_files_of_its_own_folder_only(
    make_purpose: MakePurpose, make_context: MakeContext, tmp_path: Path, name: str
) -> None:
    add_entry(tmp_path, make_context(tmp_path, make_purpose()))
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace("context.onnx", name))
    with pytest.raises(EngineError, match=r"is damaged \(a file named"):
        read_manifest(tmp_path)


def test_an_entry_without_files_is_damage(
    make_purpose: MakePurpose, make_context: MakeContext, tmp_path: Path
) -> None:
    add_entry(tmp_path, make_context(tmp_path, make_purpose()))
    manifest = tmp_path / "manifest.json"
    written = json.loads(manifest.read_text())
    written["entries"][0]["files"] = {}
    manifest.write_text(json.dumps(written))
    with pytest.raises(EngineError, match=r"is damaged \(an entry without files"):
        read_manifest(tmp_path)


def test_files_are_compared_with_their_hashes(
    make_purpose: MakePurpose, make_context: MakeContext, tmp_path: Path
) -> None:
    entry = make_context(tmp_path, make_purpose())
    assert checked_file(tmp_path, entry) == tmp_path / "context.onnx"
    for name in entry.files:
        path = tmp_path / name
        path.write_bytes(b"contexT")
        with pytest.raises(EngineError, match=f"{name} is damaged or another.*; do that$"):
            checked_file(tmp_path, entry, remedy="do that")
        path.unlink()
        with pytest.raises(EngineError, match=f"{name} cannot be read"):
            checked_file(tmp_path, entry)
        path.write_bytes(b"context")


CHANGES: list[dict[str, Any]] = [
    {"weights_sha256": "3" * 64},
    {"network_sha256": "3" * 64},
    {"scale": "3"},
    {"input_size": "32x64"},
    {"pixel_format": "rgba8"},
    {"socs": (find_soc("sm8750"),)},
    {"socs": (find_soc("sm8650"), find_soc("sm8750"))},
    {"libraries": {"QAIRT": "2.47.0"}},
    {"options": {"optimization": "3", "vtcm_mb": "4"}},
    {"driver": "30.0.1"},
]


def test_every_change_of_purpose_changes_the_digest(make_purpose: MakePurpose) -> None:
    digests = {make_purpose(**changes).digest for changes in [{}, *CHANGES]}
    assert len(digests) == len(CHANGES) + 1
    assert make_purpose().digest == make_purpose().digest
    assert len(make_purpose().digest) == 64


@pytest.mark.parametrize(
    ("changes", "words", "code"),
    [
        (CHANGES[0], "no context of example with the weights 333333333333, only of example .1", 10),
        (CHANGES[1], "as another version of upscaler built its graph", 10),
        (CHANGES[3], "for frames of 64x32, not 32x64", 7),
        (CHANGES[4], "at 64x32 for rgb8, not rgba8", 8),
        (CHANGES[5], "are for SM8650 .Snapdragon 8 Gen 3., and this is SM8750", 10),
        (CHANGES[7], "compiled by QAIRT 2.51.0, and here is QAIRT 2.47.0; install those", 10),
        (CHANGES[8], "compiled for vtcm_mb all, not 4", 10),
    ],
)
def test_what_does_not_fit_is_named_with_the_remedy(
    make_purpose: MakePurpose,
    make_context: MakeContext,
    tmp_path: Path,
    *,
    changes: dict[str, Any],
    words: str,
    code: int,
) -> None:
    add_entry(tmp_path, make_context(tmp_path, make_purpose()))
    folder = ContextFolder(tmp_path)
    wanted = make_purpose(**changes)
    with pytest.raises(UpscalerError, match=words) as refused:
        folder.find(wanted)
    assert "upscaler npu compile --model example --sizes" in str(refused.value)
    assert f"--soc {wanted.socs[0].code}" in str(refused.value)
    assert refused.value.code == ErrorCode(code)
    assert isinstance(refused.value, BadRequestError if code in (7, 8) else EngineError)


def test_what_fits_is_found_and_one_chip_goes_before_several(
    make_purpose: MakePurpose, make_context: MakeContext, tmp_path: Path
) -> None:
    several = make_purpose(socs=(find_soc("sm8750"), find_soc("sm8650")))
    add_entry(tmp_path, make_context(tmp_path, several, stem="several"))
    add_entry(tmp_path, make_context(tmp_path, make_purpose(input_size="8x8"), stem="small"))
    assert ContextFolder(tmp_path).find(make_purpose()).purpose == several
    add_entry(tmp_path, make_context(tmp_path, make_purpose(), stem="one"))
    folder = ContextFolder(tmp_path)
    # The driver is the device's own affair: whoever compiled elsewhere could not know it.
    assert folder.find(make_purpose(driver="30.0.1")).purpose == make_purpose()
    assert folder.find(make_purpose(socs=(find_soc("8 elite"),))).purpose == several
    folder.check(find_soc("sm8750"), {"QAIRT": "2.51.0"})
    with pytest.raises(EngineError) as refused:
        folder.check(find_soc("sm8450"), {"QAIRT": "2.51.0"})
    assert str(refused.value).count("SM8650") == 1
    with pytest.raises(
        EngineError, match=r"and this is SM8450 .*upscaler npu compile --soc SM8450"
    ):
        folder.check(find_soc("sm8450"), {"QAIRT": "2.51.0"})
    with pytest.raises(EngineError, match="install those versions"):
        folder.check(find_soc("sm8750"), {"QAIRT": "1"})


def test_a_network_is_known_by_its_graph_and_weights(make_model: MakeModel) -> None:
    model = make_model(Fraction(2))

    def digest(width: int = 64, colour: PixelFormat = PixelFormat.RGB8) -> str:
        return network_sha256(specialise(model, Size(width, 32), colour))

    assert digest() == digest()
    assert len({digest(), digest(32), digest(colour=PixelFormat.RGBA8)}) == 3
    before, proto = digest(), specialise(model, Size(64, 32), PixelFormat.RGB8)
    attach_card(proto, type(model.card)(**{**_fields(model), "training": "another day"}))
    assert network_sha256(proto) == before
    proto.opset_import[0].version += 1
    assert network_sha256(proto) != before


def _fields(model: Model) -> dict[str, Any]:
    return {name: getattr(model.card, name) for name in model.card.__struct_fields__}
