"""`upscaler serve` on the NPU: contexts compiled ahead, options, and what it says of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from protocol.errors import ErrorCode, ServiceError
from protocol.frames import PixelFormat, Size
from upscaler.bench.frames import game_frame
from upscaler.client import Client
from upscaler.engines.contexts import add_entry
from upscaler.engines.qnn import QnnEngine, has_npu
from upscaler.engines.socs import find_soc
from upscaler.models.library import find_model
from upscaler.service.process import ServiceProcess

pytest.importorskip("onnxruntime_qnn", reason="the wheel exists for Snapdragon and x86_64 only")
pytestmark = pytest.mark.skipif(has_npu(), reason="contexts are compiled on x86_64")

SIZE = Size(64, 32)
NPU = ["--engine", "npu", "--model", "quicksrnet-small-x2"]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the 2x network at 64x32 in rgba8, for SM8650."""
    folder = tmp_path_factory.mktemp("contexts")
    model = find_model("quicksrnet-small-x2")
    entry = QnnEngine().compile(model, SIZE, PixelFormat.RGBA8, [find_soc("sm8650")], folder)
    add_entry(folder, entry)
    return folder


def test_contexts_are_served_and_nothing_else_is_compiled(contexts: Path) -> None:
    arguments = [*NPU, "--context", str(contexts), "--npu", "soc=8 gen 3,context_priority=high"]
    with ServiceProcess(arguments) as service:
        assert f"contexts  {contexts}" in service.banner
        with Client(service.endpoint, size=(64, 32), scale=2, pixel_format="rgba8") as client:
            result = client.upscale(game_frame(SIZE, PixelFormat.RGBA8))
        assert result.shape == (64, 128, 4)
        assert (result[..., 3] == 255).all()
        assert np.ptp(result[..., :3]) > 0
        # The certificate of what was loaded, in one line.
        said = "on SM8650: 4 Conv2d, 1 DepthToSpace and nothing else; no node on the CPU; "
        assert f"{said}{contexts}" in service.log()
        with pytest.raises(ServiceError, match="64x32, not 32x32; compile one") as refused:
            Client(service.endpoint, size=(32, 32), scale=2, pixel_format="rgba8")
        assert refused.value.code is ErrorCode.UNSUPPORTED_SIZE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*NPU, "--context", "{contexts}"], "are for SM8650 .*, and this is SM8550 .*compile them"),
        ([*NPU, "--context", "{contexts}/none"], "it is no folder of contexts"),
        ([*NPU, "--npu", "turbo=1"], "unknown NPU option 'turbo'; choose from performance_mode"),
        ([*NPU, "--npu", "performance_mode=max"], "has no value 'max'; choose one of burst"),
        (["--npu", "vtcm_mb=4"], "there is none here; leave them out, or add --engine npu"),
        (["--engine", "openvino", "--context", "{contexts}"], "the engine is openvino; use"),
    ],
)
def test_what_cannot_be_served_is_said_before_it_listens(
    run_here: Callable[..., CompletedProcess[str]],
    contexts: Path,
    arguments: list[str],
    words: str,
) -> None:
    given = [argument.format(contexts=contexts) for argument in arguments]
    # Should it listen after all, it ends: there is no stdin here.
    done = run_here("serve", "--bind", "tcp://127.0.0.1:*", "--until-stdin-closes", *given)
    assert done.returncode == 2
    assert "listening" not in done.stdout
    assert re.search(words, done.stderr)
