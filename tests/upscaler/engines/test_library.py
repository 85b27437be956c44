from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import BadRequestError, EngineError, ErrorCode
from upscaler.engines.library import ENGINES, select_engine
from upscaler.engines.npu_options import NpuOptions, NpuSettings
from upscaler.engines.qnn import has_npu

VENDORS = {"npu": "onnxruntime_qnn", "openvino": "openvino", "onnxruntime": "onnxruntime"}


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_name_gives_that_engine(name: str) -> None:
    engine = select_engine(name, threads=1)
    assert engine.name == name
    assert not engine.emulated


def test_auto_is_openvino_where_there_is_no_npu() -> None:
    assert select_engine("auto").name == ("npu" if has_npu() else "openvino")


@pytest.mark.skipif(has_npu(), reason="a real NPU comes first")
def test_auto_without_openvino_is_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    # None makes an import fail as if the package were not installed.
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert select_engine("auto").name == "onnxruntime"


@pytest.mark.parametrize("name", ENGINES)
def test_a_missing_engine_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, VENDORS[name], None)
    package = VENDORS[name].replace("_", "-")
    with pytest.raises(EngineError, match=f"pip install {package}") as caught:
        select_engine(name)
    assert caught.value.code is ErrorCode.ENGINE_UNAVAILABLE


def test_an_unknown_engine_lists_the_known() -> None:
    with pytest.raises(BadRequestError, match="choose one of auto, npu, openvino, onnxruntime"):
        select_engine("cuda")


def test_what_is_asked_of_the_npu_is_an_error_on_another_engine(tmp_path: Path) -> None:
    asked = NpuSettings(options=NpuOptions(vtcm_mb=4), asked=True)
    with pytest.raises(BadRequestError, match="the engine is openvino; use --engine npu"):
        select_engine("openvino", npu=asked)
    if not has_npu():
        with pytest.raises(BadRequestError, match="there is none here; leave them out, or add"):
            select_engine("auto", npu=asked)
    # Keeping a cache is no wish for an NPU.
    assert select_engine("onnxruntime", npu=NpuSettings(cache=tmp_path)).name == "onnxruntime"


def test_no_threads_is_no_choice() -> None:
    with pytest.raises(BadRequestError, match="at least 1 thread, not 0"):
        select_engine("openvino", threads=0)


def test_vendor_packages_load_when_first_used() -> None:
    program = (
        "import sys, upscaler.engines.library as library;"
        f"vendors = {set(VENDORS.values())!r};"
        "assert not vendors & set(sys.modules);"
        "library.select_engine('onnxruntime');"
        "assert vendors & set(sys.modules) == {'onnxruntime'}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
