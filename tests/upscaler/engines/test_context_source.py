from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from protocol.errors import BadRequestError, EngineError
from upscaler.engines.context_source import ContextSource
from upscaler.engines.contexts import Entry, Purpose, add_entry
from upscaler.engines.npu_options import NpuSettings
from upscaler.engines.socs import find_soc

MakePurpose = Callable[..., Purpose]
MakeContext = Callable[..., Entry]

SOC, LIBRARIES = find_soc("sm8650"), {"QAIRT": "2.51.0"}


def never(folder: Path) -> Entry:
    pytest.fail(f"compiled into {folder}")


def test_without_a_folder_or_a_cache_the_compiler_works_in_memory(
    make_purpose: MakePurpose,
) -> None:
    assert ContextSource(NpuSettings(), SOC, LIBRARIES).find(make_purpose(), never) is None


def test_the_cache_compiles_once(
    make_purpose: MakePurpose, make_context: MakeContext, tmp_path: Path
) -> None:
    source = ContextSource(NpuSettings(cache=tmp_path), SOC, LIBRARIES)
    purpose = make_purpose()

    def build(folder: Path) -> Entry:
        return make_context(folder, purpose)

    first = source.find(purpose, build)
    second = source.find(purpose, never)
    assert first is not None
    assert second is not None
    assert first.path == second.path
    assert (first.replaceable, second.replaceable) == (False, True)
    assert "compiled when loaded, kept in" in first.where
    assert second.where.startswith("cache, ")
    source.drop(purpose)
    with pytest.raises(pytest.fail.Exception, match="compiled into"):
        source.find(purpose, never)


def test_a_folder_that_was_asked_for_is_the_only_source(
    make_purpose: MakePurpose, make_context: MakeContext, tmp_path: Path
) -> None:
    folder, cache = tmp_path / "contexts", tmp_path / "cache"
    folder.mkdir()
    add_entry(folder, make_context(folder, make_purpose()))
    source = ContextSource(NpuSettings(contexts=folder, cache=cache), SOC, LIBRARIES)
    found = source.find(make_purpose(), never)
    assert found is not None
    assert (found.path, found.replaceable) == (folder / "context.onnx", False)
    with pytest.raises(BadRequestError, match="not 8x8"):
        source.find(make_purpose(input_size="8x8"), never)
    assert not cache.exists()


def test_a_folder_for_another_chip_is_refused_at_once(
    make_purpose: MakePurpose, make_context: MakeContext, tmp_path: Path
) -> None:
    add_entry(tmp_path, make_context(tmp_path, make_purpose()))
    open_folder = partial(ContextSource, NpuSettings(contexts=tmp_path))
    with pytest.raises(EngineError, match="and this is SM8450"):
        open_folder(find_soc("sm8450"), LIBRARIES)
    with pytest.raises(EngineError, match="and here is QAIRT 1"):
        open_folder(SOC, {"QAIRT": "1"})
    with pytest.raises(EngineError, match="is no folder of contexts"):
        ContextSource(NpuSettings(contexts=tmp_path / "none"), SOC, LIBRARIES)
