"""What the NPU was given to run, operator by operator: the certificate, and how it is read.

Two files that QNN writes are put together. The graph, as JSON, is what was compiled: operators with
their types, tensors with theirs. The profile, as CSV, is what the compiled graph then executed,
with cycles; its lines name the graph's operators. Neither alone would do: the profile knows no
types, only names that any model may choose, and the graph does not say what was executed.

An operator of the graph without a line in the profile has no cycles, and a line without an operator
is of an unknown kind: both are shown, none is left out. What the compiler does for an operator's
sake, such as moving data between memories, is in that operator's cycles.

The emulator counts cycles too. They are not NPU cycles, nor in proportion to them: those of one
convolution were 0.37 and 1.46 million in two runs on the same machine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import msgspec

from protocol.errors import EngineError, ErrorCode
from protocol.frames import PixelFormat, Size, upscaled_size
from upscaler.models.library import Model

NPU = "HTP"
NPU_EMULATED = "HTP, emulated"
CYCLES_OF_NPU = "the NPU"
CYCLES_OF_EMULATOR = "the emulator; these are not NPU cycles"
NO_CYCLES = "none: nothing was run; upscaler npu certify runs a frame and counts"
CONVOLUTION = "Conv2d"
EXPECTED = (CONVOLUTION, "DepthToSpace")
"""All that a network of this project needs on the NPU."""
UNKNOWN = "unknown"

HEADER = "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier"
EXECUTED = "Accelerator (execute) time (cycles)"
NODE = re.compile(r"(?P<name>.+)(?P<mark>[: ])OpId_\d+ \(cycles\)")
"""Operators are `name:OpId_23 (cycles)`, the graph's two ends `Input OpId_2 (cycles)`."""

WRITTEN_BY_CALLER, READ_BY_CALLER = 0, 1
TYPE_CLASSES = ("int", "uint", "float", "sfixed", "ufixed", "bool")
"""Qnn_DataType_t is 0xCCBB: one of these classes, and the bits in decimal digits."""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of the compiled graph. `stride` is (rows, columns), of convolutions."""

    name: str
    kind: str
    stride: tuple[int, int] | None
    placement: str
    cycles: int | None


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One end of the graph. A ufixed8 is a byte that stands for a fixed-point number."""

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What was compiled, for what, by what, and what of it runs where.

    `transfer_cycles` are those of the graph's two ends, `cycles` those of the whole execution;
    `cycles_of` says whose cycles they are. Loading counts none: `cycles` are None then, there and
    of every operator. `context` says where the compiled graph came from.
    """

    model: str
    weights_sha256: str
    input_size: str
    output_size: str
    pixel_format: str
    device: str
    emulated: bool
    chip: str
    architecture: str
    driver: str
    context: str
    libraries: dict[str, str]
    inputs: list[Tensor]
    outputs: list[Tensor]
    operators: list[Operator]
    transfer_cycles: dict[str, int]
    cycles: int | None
    cycles_of: str

    @property
    def strays(self) -> list[Operator]:
        """Operators that are no convolution or depth-to-space, or do not run on the NPU."""
        return [
            operator
            for operator in self.operators
            if operator.kind not in EXPECTED or operator.placement not in (NPU, NPU_EMULATED)
        ]

    @property
    def summary(self) -> str:
        """The operators in one sentence: how many of each kind, and whether any is a stray."""
        strays = self.strays
        counts = Counter(operator.kind for operator in self.operators if operator not in strays)
        counted = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"
        if not strays:
            return f"{counted} and nothing else; no node on the CPU"
        named = ", ".join(f"{each.kind} ({each.name}, {each.placement})" for each in strays)
        return f"{counted}, and besides: {named}"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles of an execution: by operator, of the two ends, and of all."""

    operators: dict[str, int] = {}
    transfers: dict[str, int] = {}
    cycles: int | None = None


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled graph. `kinds` and `strides` are by operator, in the order of the file."""

    kinds: dict[str, str]
    strides: dict[str, tuple[int, int]]
    inputs: list[Tensor]
    outputs: list[Tensor]


class Npu(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says of the NPU. `driver` is as the system reports it."""

    device: str
    emulated: bool
    chip: str
    architecture: str
    driver: str
    libraries: dict[str, str]


def certificate_of(
    model: Model,
    size: Size,
    pixel_format: PixelFormat,
    *,
    npu: Npu,
    context: str,
    graphs: Sequence[Graph],
    elsewhere: Iterable[tuple[str, str]],
    profile: Profile | None = None,
) -> Certificate:
    """Put a certificate together; `elsewhere` is (provider, operator) of what is not on the NPU.

    Without a profile nothing was run, and there are no cycles.
    """
    executed = profile or Profile()
    whose = CYCLES_OF_EMULATOR if npu.emulated else CYCLES_OF_NPU
    return Certificate(
        model=model.card.name,
        weights_sha256=model.card.weights_sha256,
        input_size=str(size),
        output_size=str(upscaled_size(size, model.card.ratio)),
        pixel_format=pixel_format.label,
        device=npu.device,
        emulated=npu.emulated,
        chip=npu.chip,
        architecture=npu.architecture,
        driver=npu.driver,
        context=context,
        libraries=npu.libraries,
        inputs=[tensor for graph in graphs for tensor in graph.inputs],
        outputs=[tensor for graph in graphs for tensor in graph.outputs],
        operators=operators_of(
            executed, graphs, elsewhere=elsewhere, placed=NPU_EMULATED if npu.emulated else NPU
        ),
        transfer_cycles=executed.transfers,
        cycles=executed.cycles,
        cycles_of=NO_CYCLES if profile is None else whose,
    )


def parse_profile(text: str) -> Profile:
    """Read the CSV of a detailed profile; several executions or graphs add up.

    Raises EngineError when it is of another format, or nothing was executed.
    """
    header, *lines = text.splitlines() or [""]
    if header != HEADER:
        msg = f"QNN's profile has unknown columns ({header[:80]!r})"
        raise _unreadable(msg)
    operators: Counter[str] = Counter()
    transfers: Counter[str] = Counter()
    cycles = 0
    for line in lines:
        # The last column is a name with whatever the model's author put into it.
        fields = line.split(",", HEADER.count(","))
        if len(fields) <= HEADER.count(",") or fields[3] != "CYCLES" or not fields[2].isdecimal():
            continue
        _, message, taken, *_, identifier = fields
        if identifier == EXECUTED:
            cycles += int(taken)
        elif message == "NODE":
            node = NODE.fullmatch(identifier)
            if node is None:
                msg = f"QNN's profile has an unknown line ({identifier[:80]!r})"
                raise _unreadable(msg)
            kept = operators if node["mark"] == ":" else transfers
            kept[node["name"]] += int(taken)
    if not operators:
        msg = "QNN's profile names no executed operator"
        raise _unreadable(msg)
    return Profile(operators=dict(operators), transfers=dict(transfers), cycles=cycles)


def parse_graph(text: str | bytes) -> Graph:
    """Read a graph that QNN dumped as JSON. Raises EngineError when it is of another form."""
    try:
        graph = msgspec.json.decode(text)["graph"]
        tensors = graph["tensors"].items()
        return Graph(
            kinds={name: str(node["type"]) for name, node in graph["nodes"].items()},
            strides={
                name: (rows, columns)
                for name, node in graph["nodes"].items()
                for stride in node["tensor_params"].get("stride", {}).values()
                for rows, columns in [stride["data"]]
            },
            inputs=[
                _tensor(name, each) for name, each in tensors if each["type"] == WRITTEN_BY_CALLER
            ],
            outputs=[
                _tensor(name, each) for name, each in tensors if each["type"] == READ_BY_CALLER
            ],
        )
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"QNN's graph is of an unknown form ({type(error).__name__}: {error})"
        raise _unreadable(msg) from error


def operators_of(
    profile: Profile, graphs: Iterable[Graph], *, elsewhere: Iterable[tuple[str, str]], placed: str
) -> list[Operator]:
    """All operators: of the graphs, of the profile alone, and what other providers run.

    `elsewhere` is (provider, operator) of each node that is not on the NPU; `placed` names the NPU.
    """
    kinds: dict[str, str] = {}
    strides: dict[str, tuple[int, int]] = {}
    for graph in graphs:
        kinds |= graph.kinds
        strides |= graph.strides
    names = [*kinds, *(name for name in profile.operators if name not in kinds)]
    # Nodes of the graph are sorted by name in the file; the profile has them as executed.
    executed = {name: index for index, name in enumerate(profile.operators)}
    names.sort(key=lambda name: executed.get(name, len(executed)))
    on_npu = [
        Operator(
            name=name,
            kind=kinds.get(name, UNKNOWN),
            stride=strides.get(name),
            placement=placed,
            cycles=profile.operators.get(name),
        )
        for name in names
    ]
    others = [
        Operator(name=kind, kind=kind, stride=None, placement=provider, cycles=None)
        for provider, kind in elsewhere
    ]
    return on_npu + others


def _tensor(name: str, described: Mapping[str, Any]) -> Tensor:
    code, shape = described["data_type"], tuple(described["dims"])
    kind, bits = divmod(code, 256)
    if kind >= len(TYPE_CLASSES):
        msg = f"{name} has the type 0x{code:04x}"
        raise ValueError(msg)
    width = int(f"{bits:x}")
    return Tensor(
        name=name,
        type=f"{TYPE_CLASSES[kind]}{width}",
        shape=shape,
        bytes=prod(shape) * width // 8,
    )


def _unreadable(sentence: str) -> EngineError:
    return EngineError(f"{sentence}; there is no certificate without it", code=ErrorCode.INTERNAL)
