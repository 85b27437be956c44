"""The arithmetic floor of a network on these cores: how long its multiply-adds alone would take.

    floor = multiply-adds of a pixel * pixels / peak,    of uint8 times int8

The peak is measured: a loop that does nothing but multiply and add, in registers, by the best
instruction that the processor has. It is written in LLVM's language, since no compiler would leave
such a loop alone, and bounds what any program can do on these cores at the clock they run at.
A large matrix product is the second opinion (`product_graph`); the higher rate is the peak. The
loop is timed in CPU time, so that other programs on the cores do not lower its rate.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import binding as llvm

if TYPE_CHECKING:
    import onnx

TURNS = 20_000_000
"""Of the loop at a time: 50 ms, as long as a frame, so that what disturbs one disturbs both."""
SIDE = 1024
"""Of the matrices: 1.07 billion multiply-adds."""
PIXELS, WEIGHTS = 0xC9C9C9C9, 0x39393939
"""Four bytes each, 201 and 57: two of their products fit 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to multiply and add bytes on one kind of processor.

    `feature` is LLVM's name of what it takes, `lanes` are the 32-bit sums of a register, `sums` the
    registers of sums: enough to hide the instruction's latency, and few enough to stay registers.
    `declare` and `step` are LLVM code; step(n) goes from %pixels, %weights and %sum<n> to %new<n>.
    """

    instruction: str
    architecture: str
    feature: str
    lanes: int
    sums: int
    declare: str
    step: Callable[[int], str]

    @property
    def multiply_adds(self) -> int:
        """Of one turn of the loop."""
        return self.sums * self.lanes * 4

    @property
    def label(self) -> str:
        """In words, such as "vpdpbusd, 512 bits"."""
        return f"{self.instruction}, {self.lanes * 32} bits"


def _at_once(intrinsic: str, lanes: int, operand: str) -> dict[str, Any]:
    """An instruction that multiplies bytes and adds four products to each sum."""
    vector = f"<{lanes} x i32>"
    return {
        "lanes": lanes,
        "declare": f"declare {vector} @{intrinsic}({vector}, {operand}, {operand})",
        "step": lambda n: (
            f"""
  %p{n} = bitcast {vector} %pixels to {operand}
  %w{n} = bitcast {vector} %weights to {operand}
  %new{n} = call {vector} @{intrinsic}({vector} %sum{n}, {operand} %p{n}, {operand} %w{n})"""
        ),
    }


def _in_three() -> dict[str, Any]:
    """AVX2 adds pairs of products to 16 bits, pairs of those to 32, and these to the sums."""
    ones = f"<{', '.join(['i16 1'] * 16)}>"
    return {
        "lanes": 8,
        "declare": """
declare <16 x i16> @llvm.x86.avx2.pmadd.ub.sw(<32 x i8>, <32 x i8>)
declare <8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16>, <16 x i16>)""",
        # The empty assembly hides that every turn has the same products.
        "step": lambda n: (
            f"""
  %h{n} = call <8 x i32> asm sideeffect "", "=x,0"(<8 x i32> %pixels)
  %p{n} = bitcast <8 x i32> %h{n} to <32 x i8>
  %w{n} = bitcast <8 x i32> %weights to <32 x i8>
  %pairs{n} = call <16 x i16> @llvm.x86.avx2.pmadd.ub.sw(<32 x i8> %p{n}, <32 x i8> %w{n})
  %fours{n} = call <8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16> %pairs{n}, <16 x i16> {ones})
  %new{n} = add <8 x i32> %sum{n}, %fours{n}"""
        ),
    }


RECIPES = (
    Recipe(
        instruction="vpdpbusd",
        architecture="x86_64",
        feature="avx512vnni",
        sums=12,
        **_at_once("llvm.x86.avx512.vpdpbusd.512", 16, "<16 x i32>"),
    ),
    Recipe(
        instruction="vpdpbusd",
        architecture="x86_64",
        feature="avxvnni",
        sums=12,
        **_at_once("llvm.x86.avx512.vpdpbusd.256", 8, "<8 x i32>"),
    ),
    Recipe(instruction="vpmaddubsw", architecture="x86_64", feature="avx2", sums=8, **_in_three()),
    # On Arm uint8 times uint8 is as fast as times int8, which fewer processors have.
    Recipe(
        instruction="udot",
        architecture="aarch64",
        feature="dotprod",
        sums=16,
        **_at_once("llvm.aarch64.neon.udot.v4i32.v16i8", 4, "<16 x i8>"),
    ),
)
"""The fastest of each architecture first."""


def best_recipe() -> Recipe | None:
    """Return the fastest recipe for this processor, or None when there is none."""
    architecture = llvm.get_process_triple().partition("-")[0].replace("arm64", "aarch64")
    features = llvm.get_host_cpu_features()
    fitting = (
        recipe
        for recipe in RECIPES
        if recipe.architecture == architecture and features.get(recipe.feature)
    )
    return next(fitting, None)


def loop_code(recipe: Recipe) -> str:
    """LLVM code of `multiply_add(turns, pixels, weights)`, which returns what it has summed."""
    vector = f"<{recipe.lanes} x i32>"
    numbers = range(recipe.sums)
    spread = [
        f"  %{name}.one = insertelement {vector} zeroinitializer, i32 %{name}.scalar, i32 0\n"
        f"  %{name} = shufflevector {vector} %{name}.one, {vector} zeroinitializer, {vector} "
        "zeroinitializer"
        for name in ("pixels", "weights")
    ]
    # Sums that begin alike would be found to be one.
    first = [f"<{', '.join([f'i32 {n}'] * recipe.lanes)}>" for n in numbers]
    sums = [f"  %sum{n} = phi {vector} [ {first[n]}, %entry ], [ %new{n}, %turn ]" for n in numbers]
    before = ["zeroinitializer", *(f"%total{n}" for n in numbers)]
    totals = [f"  %total{n} = add {vector} {before[n]}, %new{n}" for n in numbers]
    return "\n".join(
        [
            recipe.declare,
            "define i64 @multiply_add(i64 %turns, i32 %pixels.scalar, i32 %weights.scalar) {",
            "entry:",
            *spread,
            "  br label %turn",
            "turn:",
            "  %at = phi i64 [ 0, %entry ], [ %next, %turn ]",
            *sums,
            *(recipe.step(n) for n in numbers),
            "  %next = add i64 %at, 1",
            "  %more = icmp slt i64 %next, %turns",
            "  br i1 %more, label %turn, label %done",
            "done:",
            *totals,
            f"  %lane = extractelement {vector} {before[-1]}, i32 0",
            "  %result = sext i32 %lane to i64",
            "  ret i64 %result",
            "}",
        ]
    )


class Loop:
    """The compiled loop of a recipe for this processor; it lets go of the GIL."""

    def __init__(self, recipe: Recipe) -> None:
        _initialise()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=3,
            jit=True,
        )
        module = llvm.parse_assembly(loop_code(recipe))
        module.verify()
        self.recipe = recipe
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_uint32, ctypes.c_uint32)
        self._run = kind(self._engine.get_function_address("multiply_add"))

    def __call__(self, turns: int, pixels: int = PIXELS, weights: int = WEIGHTS) -> int:
        """Run so many turns, at least one; return one lane of the total, modulo 2^32."""
        return int(self._run(turns, pixels, weights))

    def rate(self, threads: int) -> float:
        """Multiply-adds per second of all threads together, once; seconds in which they ran."""
        ran_s = [0.0] * threads
        barrier = threading.Barrier(threads)

        def work(thread: int) -> None:
            barrier.wait()
            # Of this thread's CPU time: what else runs on the cores is not the loop's fault.
            began = time.thread_time()
            self(TURNS)
            ran_s[thread] = time.thread_time() - began

        workers = [threading.Thread(target=work, args=[each]) for each in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(TURNS * self.recipe.multiply_adds / each for each in ran_s)


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # For the one recipe that has assembly, though it is empty.
    llvm.initialize_native_asmparser()


def product_graph(side: int = SIDE) -> onnx.ModelProto:
    """Graph that multiplies (side, side) uint8 by constants, int8, into int32: side^3 at a time."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).integers(-64, 64, (side, side)).astype(np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["pixels", "weights"], ["sums"])],
        "product",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [side, side])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, [side, side])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Peak:
    """Finds the peak of some threads, sample by sample; the highest of many is closest to it."""

    def __init__(self, threads: int) -> None:
        from upscaler.engines.onnxruntime import graph_runner

        recipe = best_recipe()
        self._threads = threads
        self._loop = None if recipe is None else Loop(recipe)
        self._product = graph_runner(product_graph(), threads=threads)
        self._product_label = f"int8 matrix product, {SIDE} x {SIDE}, onnxruntime"
        self.rates: dict[str, float] = {}
        self.latest = 0.0

    def sample(self) -> None:
        """Measure once more; `latest` is the higher rate of this time."""
        self.latest = 0.0
        if self._loop is not None:
            self._keep(f"loop of {self._loop.recipe.label}", self._loop.rate(self._threads))
        # CPU time of other threads is known to a few ms only, as long as this takes.
        began = time.perf_counter()
        self._product()
        self._keep(self._product_label, SIDE**3 / (time.perf_counter() - began))

    @property
    def rate(self) -> float:
        """Multiply-adds per second: the highest of all samples so far."""
        return max(self.rates.values())

    def _keep(self, label: str, rate: float) -> None:
        self.rates[label] = max(self.rates.get(label, 0.0), rate)
        self.latest = max(self.latest, rate)


def describe(peak: Peak, threads: int) -> Sequence[str]:
    """Lines that say what was measured, in billions of multiply-adds per second."""
    return [
        f"peak of {threads} threads, {label}: {rate / 1e9:.1f} billion multiply-adds per second"
        for label, rate in peak.rates.items()
    ]
