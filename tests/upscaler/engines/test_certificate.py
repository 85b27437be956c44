"""What QNN really wrote, kept small: a Transpose, a convolution and a depth-to-space."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.errors import EngineError
from upscaler.engines.certificate import (
    NPU_EMULATED,
    Certificate,
    Graph,
    Operator,
    Profile,
    Tensor,
    operators_of,
    parse_graph,
    parse_profile,
)

HEADER = (
    "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier\n"
)
PROFILE = (
    HEADER + "0,FINALIZE,26358,US,BACKEND,ROOT,QNN (finalize) time\n"
    "0,UNKNOWN,22788,US,BACKEND,SUB-EVENT,Graph Optimizations\n"
    "0,BACKEND,0,COUNT,BACKEND,ROOT,Number of HVX threads used\n"
    "0,BACKEND,7543561,CYCLES,BACKEND,ROOT,Accelerator (execute) time (cycles)\n"
    "0,NODE,1917,CYCLES,BACKEND,SUB-EVENT,Input OpId_2 (cycles)\n"
    "0,NODE,86374,CYCLES,BACKEND,SUB-EVENT,Transpose_token_28:OpId_17 (cycles)\n"
    "0,NODE,350307,CYCLES,BACKEND,SUB-EVENT,conv0.out/Conv_token_1:OpId_25 (cycles)\n"
    "0,NODE,135482,CYCLES,BACKEND,SUB-EVENT,unfolded/DepthToSpace_token_25:OpId_59 (cycles)\n"
    "0,NODE,2237,CYCLES,BACKEND,SUB-EVENT,Output OpId_3 (cycles)\n"
    "0,BACKEND,53515,US,BACKEND,ROOT,Accelerator (execute) time\n"
    "0,EXECUTE,53661,US,BACKEND,ROOT,QNN (execute) time\n"
)
TRANSPOSE, CONV, UNFOLD = (
    "Transpose_token_28",
    "conv0.out/Conv_token_1",
    "unfolded/DepthToSpace_token_25",
)
EXECUTED = Profile(
    operators={TRANSPOSE: 86374, CONV: 350307, UNFOLD: 135482},
    transfers={"Input": 1917, "Output": 2237},
    cycles=7543561,
)


def described(*, role: int, dims: list[int], data_type: int = 1032) -> dict[str, Any]:
    return {"dataFormat": 0, "data_type": data_type, "dims": dims, "id": 1, "type": role}


def dumped(**tensors: dict[str, Any]) -> str:
    stride = {"data": [2, 2], "data_type": 306, "dims": [2], "type": 4}
    return json.dumps(
        {
            "op_types": ["DepthToSpace", "Conv2d", "Transpose"],
            "graph": {
                "nodes": {
                    CONV: {
                        "tensor_params": {"stride": {f"{CONV}_30_stride": stride}},
                        "type": "Conv2d",
                    },
                    TRANSPOSE: {"tensor_params": {}, "type": "Transpose"},
                    UNFOLD: {"tensor_params": {"block_size": {}}, "type": "DepthToSpace"},
                },
                "tensors": tensors
                or {
                    "conv0.weight": described(role=4, dims=[3, 3, 3, 12], data_type=776),
                    "low_resolution": described(role=0, dims=[1, 3, 36, 64]),
                    "upscaled": described(role=1, dims=[1, 72, 128, 3], data_type=562),
                },
            },
        }
    )


def test_a_profile_is_read() -> None:
    assert parse_profile(PROFILE) == EXECUTED


def test_executions_add_up() -> None:
    twice = parse_profile(PROFILE + PROFILE.removeprefix(HEADER))
    assert twice.operators[CONV] == 2 * 350307
    assert twice.transfers["Output"] == 2 * 2237
    assert twice.cycles == 2 * 7543561


def test_a_model_may_name_its_operators_as_it_likes() -> None:
    name = "a, b:OpId_1 (cycles), Input"
    found = parse_profile(PROFILE.replace(CONV, name))
    assert found.operators[name] == 350307


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unknown columns"),
        ("Time,Message\n", "unknown columns"),
        (HEADER, "no executed operator"),
        ("\n".join(PROFILE.splitlines()[:6]), "no executed operator"),
        (PROFILE + "0,NODE,1,CYCLES,BACKEND,SUB-EVENT,conv1\n", "unknown line .'conv1'"),
    ],
)
def test_another_format_is_an_error(text: str, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        parse_profile(text)


def test_a_graph_is_read() -> None:
    graph = parse_graph(dumped())
    assert graph.kinds == {CONV: "Conv2d", TRANSPOSE: "Transpose", UNFOLD: "DepthToSpace"}
    assert graph.strides == {CONV: (2, 2)}
    assert graph.inputs == [
        Tensor(name="low_resolution", type="ufixed8", shape=(1, 3, 36, 64), bytes=6912)
    ]
    assert graph.outputs == [
        Tensor(name="upscaled", type="float32", shape=(1, 72, 128, 3), bytes=110592)
    ]


@pytest.mark.parametrize(
    ("code", "name", "size"),
    [(0x0408, "ufixed8", 4), (0x0108, "uint8", 4), (0x0216, "float16", 8), (0x0508, "bool8", 4)],
)
def test_types_of_tensors(code: int, name: str, size: int) -> None:
    graph = parse_graph(dumped(end=described(role=0, dims=[1, 4], data_type=code)))
    assert graph.inputs == [Tensor(name="end", type=name, shape=(1, 4), bytes=size)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"graph": {"nodes": []}}',
        dumped(end={"type": 0}),
        dumped(end=described(role=0, dims=[1], data_type=0x7FFF)),
        dumped(end=described(role=0, dims=[1], data_type=0x040A)),
    ],
)
def test_another_form_of_graph_is_an_error(text: str) -> None:
    with pytest.raises(EngineError, match="QNN's graph is of an unknown form"):
        parse_graph(text)


def operators(profile: Profile = EXECUTED, **changes: Any) -> list[Operator]:
    given = {"elsewhere": [], "placed": NPU_EMULATED} | changes
    return operators_of(profile, [parse_graph(dumped())], **given)


def test_operators_come_as_executed_with_types_from_the_graph() -> None:
    assert [(each.kind, each.stride, each.cycles) for each in operators()] == [
        ("Transpose", None, 86374),
        ("Conv2d", (2, 2), 350307),
        ("DepthToSpace", None, 135482),
    ]


def test_nothing_is_left_out() -> None:
    profile = Profile(operators={"Conv2d": 5, CONV: 7}, transfers={}, cycles=12)
    found = operators(profile, elsewhere=[("CPUExecutionProvider", "Cast")])
    assert [(each.kind, each.placement, each.cycles) for each in found] == [
        ("unknown", NPU_EMULATED, 5),
        ("Conv2d", NPU_EMULATED, 7),
        ("Transpose", NPU_EMULATED, None),
        ("DepthToSpace", NPU_EMULATED, None),
        ("Cast", "CPUExecutionProvider", None),
    ]


def certificate(found: list[Operator]) -> Certificate:
    graph: Graph = parse_graph(dumped())
    return Certificate(
        model="example",
        weights_sha256="0" * 64,
        input_size="64x36",
        output_size="128x72",
        pixel_format="rgb8",
        device="an NPU",
        emulated=True,
        chip="a chip",
        architecture="v73, emulated",
        driver="none: emulated",
        context="compiled",
        libraries={},
        inputs=graph.inputs,
        outputs=graph.outputs,
        operators=found,
        transfer_cycles={},
        cycles=1,
        cycles_of="the emulator",
    )


def test_strays_are_named() -> None:
    found = certificate(operators(elsewhere=[("CPUExecutionProvider", "Conv2d")]))
    assert [each.name for each in found.strays] == [TRANSPOSE, "Conv2d"]
    assert found.summary == (
        "1 Conv2d, 1 DepthToSpace, and besides: Transpose (Transpose_token_28, HTP, emulated), "
        "Conv2d (Conv2d, CPUExecutionProvider)"
    )


def test_a_clean_certificate_says_so() -> None:
    found = certificate([each for each in operators() if each.kind != "Transpose"])
    assert found.strays == []
    assert found.summary == "1 Conv2d, 1 DepthToSpace and nothing else; no node on the CPU"
