from __future__ import annotations

import numpy as np
import pytest
from llvmlite import binding as llvm

from upscaler.bench import floor
from upscaler.bench.floor import (
    PIXELS,
    RECIPES,
    WEIGHTS,
    Loop,
    Peak,
    Recipe,
    best_recipe,
    describe,
    loop_code,
    product_graph,
)

BY_LABEL = {recipe.label: recipe for recipe in RECIPES}


def assembly(recipe: Recipe) -> list[str]:
    """The loop as compiled for the processor it is meant for, be it another than this one."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    floor._initialise()
    triple = f"{recipe.architecture}-unknown-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine(
        features=f"+{recipe.feature}", opt=3
    )
    module = llvm.parse_assembly(loop_code(recipe))
    module.triple = triple
    module.verify()
    lines = [line.strip() for line in machine.emit_assembly(module).splitlines()]
    branches = [
        at
        for at, line in enumerate(lines)
        if line.split("\t")[0] in {"jl", "jne", "jle", "b.lt", "b.ne"}
    ]
    assert len(branches) == 1
    target = lines[branches[0]].split("\t")[1]
    return lines[lines.index(f"{target}:") : branches[0]]


@pytest.mark.parametrize("label", BY_LABEL)
def test_the_loop_is_multiply_adds_in_registers(label: str) -> None:
    recipe = BY_LABEL[label]
    turn = assembly(recipe)
    turn = [line.removeprefix("{vex}\t") for line in turn if line and line[0] not in "./#"]
    multiplying = [line for line in turn if line.split("\t")[0] == recipe.instruction]
    assert len(multiplying) == recipe.sums
    register = {16: "zmm", 8: "ymm", 4: "v"}[recipe.lanes]
    assert all(register in line for line in multiplying)
    assert not [line for line in turn if "(" in line or "[" in line]  # nothing is in memory
    steps = {"vpmaddubsw": 4}.get(recipe.instruction, 1)
    assert len(turn) <= recipe.sums * steps + 3


@pytest.mark.parametrize(
    ("label", "multiply_adds"),
    [
        ("vpdpbusd, 512 bits", 768),
        ("vpdpbusd, 256 bits", 384),
        ("vpmaddubsw, 256 bits", 256),
        ("udot, 128 bits", 256),
    ],
)
def test_counts_what_a_turn_does(label: str, multiply_adds: int) -> None:
    assert BY_LABEL[label].multiply_adds == multiply_adds


needs_recipe = pytest.mark.skipif(best_recipe() is None, reason="no recipe for this processor")


@needs_recipe
@pytest.mark.parametrize("turns", [1, 2, 1000])
def test_the_loop_computes_the_sums(turns: int) -> None:
    recipe = best_recipe()
    assert recipe is not None
    four = sum((PIXELS >> shift & 255) * (WEIGHTS >> shift & 255) for shift in (0, 8, 16, 24))
    expected = sum(begin + turns * four for begin in range(recipe.sums))
    assert Loop(recipe)(turns) % 2**32 == expected % 2**32


@needs_recipe
def test_other_bytes_give_other_sums() -> None:
    recipe = best_recipe()
    assert recipe is not None
    loop = Loop(recipe)
    none, some = (loop(3, pixels=each, weights=0x01010101) for each in (0, 0x01020304))
    assert some - none == recipe.sums * 3 * 10


@needs_recipe
def test_measures_as_many_threads_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "TURNS", 1000)
    peak = Peak(2)
    peak.sample()
    peak.sample()
    loop, product = peak.rates.values()
    assert peak.rate == max(loop, product)
    assert 0 < peak.latest <= peak.rate
    lines = describe(peak, 2)
    assert lines[0].startswith("peak of 2 threads, loop of ")
    assert lines[1].startswith("peak of 2 threads, int8 matrix product, 1024 x 1024, onnxruntime")


def test_the_product_is_of_bytes() -> None:
    from onnx.reference import ReferenceEvaluator

    proto = product_graph(8)
    pixels = np.full((8, 8), 201, np.uint8)
    (sums,) = ReferenceEvaluator(proto).run(None, {"pixels": pixels})
    from onnx import numpy_helper

    weights = numpy_helper.to_array(proto.graph.initializer[0]).astype(int)
    assert np.array_equal(sums, pixels.astype(int) @ weights)
