from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from upscaler.engines.context_cache import ContextCache, cache_folder
from upscaler.engines.contexts import Entry, Purpose, write_manifest

MakePurpose = Callable[..., Purpose]
MakeContext = Callable[..., Entry]


@pytest.fixture
def cache(tmp_path: Path) -> ContextCache:
    return ContextCache(tmp_path / "contexts")


@pytest.fixture
def keep(make_context: MakeContext) -> Callable[..., Path]:
    """Keep a context for a purpose: keep(cache, purpose, content=b"context")."""

    def kept(cache: ContextCache, purpose: Purpose, content: bytes = b"context") -> Path:
        path, _ = cache.keep(purpose, lambda folder: make_context(folder, purpose, content=content))
        return path

    return kept


def test_what_is_kept_is_found_again(
    cache: ContextCache, make_purpose: MakePurpose, keep: Callable[..., Path]
) -> None:
    assert cache.find(make_purpose()) is None
    assert cache.kept() == []
    path = keep(cache, make_purpose())
    assert path == cache.folder / make_purpose().digest / "context.onnx"
    found = cache.find(make_purpose())
    assert found is not None
    assert (found[0], found[1].purpose) == (path, make_purpose())
    assert cache.find(make_purpose(input_size="8x8")) is None
    assert [each.name for each in cache.folder.iterdir()] == [make_purpose().digest]


@pytest.mark.parametrize("name", ["context.onnx", "context_qnn.bin", "manifest.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "gone"])
def test_damage_is_noticed_and_dropped(
    cache: ContextCache,
    make_purpose: MakePurpose,
    keep: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    *,
    name: str,
    damage: str,
) -> None:
    path = keep(cache, make_purpose()).parent / name
    good = path.read_bytes()
    path.write_bytes({"changed": b"X" + good[1:], "cut": good[:-2]}.get(damage, b""))
    if damage == "gone":
        path.unlink()
    (shown,) = cache.kept()
    assert shown.entry is None
    assert shown.problem
    assert cache.find(make_purpose()) is None
    assert "dropped and compiled again" in caplog.text
    assert list(cache.folder.iterdir()) == []
    keep(cache, make_purpose())
    assert cache.find(make_purpose()) is not None


def test_an_entry_under_a_wrong_name_is_not_taken(
    cache: ContextCache, make_purpose: MakePurpose, keep: Callable[..., Path]
) -> None:
    other = make_purpose(input_size="8x8")
    keep(cache, make_purpose()).parent.rename(cache.folder / other.digest)
    assert cache.kept()[0].problem == "is for something else than its name says"
    assert cache.find(other) is None


def test_a_folder_with_several_entries_is_not_ours(
    cache: ContextCache, make_purpose: MakePurpose, make_context: MakeContext
) -> None:
    purpose = make_purpose()
    _, entry = cache.keep(purpose, lambda folder: make_context(folder, purpose))
    write_manifest(cache.folder / purpose.digest, [entry, entry])
    assert "holds 2 contexts in place of one" in cache.kept()[0].problem
    assert cache.find(purpose) is None


def test_a_compiler_that_fails_leaves_nothing(
    cache: ContextCache, make_purpose: MakePurpose
) -> None:
    def fail(folder: Path) -> Entry:
        (folder / "half").touch()
        msg = "the compiler's words"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="the compiler's words"):
        cache.keep(make_purpose(), fail)
    assert list(cache.folder.iterdir()) == []


def test_two_that_compile_the_same_end_with_one(
    cache: ContextCache, make_purpose: MakePurpose, make_context: MakeContext
) -> None:
    purpose, both = make_purpose(), threading.Barrier(2, timeout=30)
    paths: list[Path] = []

    def compile_slowly(folder: Path) -> Entry:
        both.wait()
        return make_context(folder, purpose)

    threads = [
        threading.Thread(target=lambda: paths.append(cache.keep(purpose, compile_slowly)[0]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert paths == [cache.folder / purpose.digest / "context.onnx"] * 2
    assert [each.name for each in cache.folder.iterdir()] == [purpose.digest]
    assert cache.find(purpose) is not None


def test_the_oldest_by_use_go_first(
    tmp_path: Path, make_purpose: MakePurpose, keep: Callable[..., Path]
) -> None:
    purposes = [make_purpose(input_size=f"{size}x8") for size in (8, 16, 24)]
    keep(ContextCache(tmp_path), purposes[0], b"x" * 30_000)
    used = tmp_path / purposes[0].digest / "manifest.json"
    keep(ContextCache(tmp_path), purposes[1], b"x" * 30_000)
    for purpose, seconds in zip(purposes, (100, 200), strict=False):
        manifest = tmp_path / purpose.digest / "manifest.json"
        os.utime(manifest, (seconds, seconds))
    cache = ContextCache(tmp_path, limit_bytes=130_000)
    assert cache.find(purposes[0]) is not None  # which makes it the last one used
    assert used.stat().st_mtime > 200
    keep(cache, purposes[2], b"x" * 30_000)
    assert {each.name for each in tmp_path.iterdir()} == {purposes[0].digest, purposes[2].digest}
    tiny = ContextCache(tmp_path, limit_bytes=1)
    keep(tiny, purposes[1])
    assert [each.name for each in tmp_path.iterdir()] == [purposes[1].digest]


def test_what_a_killed_process_left_goes_after_a_while(
    cache: ContextCache, make_purpose: MakePurpose, keep: Callable[..., Path]
) -> None:
    old, new = cache.folder / ".new-old", cache.folder / ".new-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    keep(cache, make_purpose())
    assert not old.exists()
    assert new.exists()


def test_clearing_touches_nothing_else(
    cache: ContextCache, make_purpose: MakePurpose, keep: Callable[..., Path]
) -> None:
    assert cache.clear() == (0, 0)
    for size in (8, 16):
        keep(cache, make_purpose(input_size=f"{size}x8"))
    (cache.folder / ".new-half").mkdir()
    (cache.folder / "mine").mkdir()
    (cache.folder / ("a" * 64)).touch()
    count, size = cache.clear()
    assert count == 3
    assert size > 0
    assert sorted(each.name for each in cache.folder.iterdir()) == ["a" * 64, "mine"]


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPSCALER_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path / "contexts"
    monkeypatch.setenv("UPSCALER_CACHE_DIR", "")
    assert cache_folder().parts[-2:] == ("upscaler", "contexts")
