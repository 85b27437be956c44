from __future__ import annotations

import contextlib
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from upscaler.models.metadata import MAX_ENTRY_BYTES, read_metadata


def model(entries: dict[str, str]) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["b"])],
        "graph",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [1])],
        [helper.make_tensor_value_info("b", TensorProto.UINT8, [1])],
        doc_string="long " * 1000,
    )
    proto = helper.make_model(graph, producer_name="tests")
    helper.set_model_props(proto, entries)
    data: bytes = proto.SerializeToString()
    return data


def test_finds_an_entry_among_others(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model({"first": "1", "card": "größer \u2713", "last": ""}))
    assert read_metadata(path, "card") == "größer \u2713"
    assert read_metadata(path, "last") == ""
    assert read_metadata(path, "absent") is None


def test_reads_the_wire_format_by_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    # ir_version = 8; graph of 2 bytes; metadata_props {key "k", value "v"}
    path.write_bytes(bytes.fromhex("0808 3a02ffff 7206 0a016b 120176"))
    assert read_metadata(path, "k") == "v"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"this is no model", "unknown wire type|ends after"),
        (b"\x3a\xff\x01abc", "ends after the file"),
        (b"\x08", "ends inside a number"),
        (b"\x08" + b"\xff" * 12, "more than 64 bits"),
        (b"\x02\x00", "ends after the file"),
        (b"\x72\x81\x80\x40" + bytes(MAX_ENTRY_BYTES + 1), "metadata entry of 1048577 bytes"),
        (b"\x72\x05\x0a\x03\xff\xff\xff", "decode"),
    ],
)
def test_refuses_what_is_no_protobuf(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=words):
        read_metadata(path, "card")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer_or_a_value_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(data)
    with contextlib.suppress(ValueError):
        assert read_metadata(path, "card") is None


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=4))
def test_agrees_with_onnx(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "entries.onnx"
    path.write_bytes(model(entries))
    stored = {entry.key: entry.value for entry in onnx.load_model(path).metadata_props}
    assert {key: read_metadata(path, key) for key in entries} == stored
