from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from upscaler.bench.latency import environment


def test_this_machine_is_described_without_its_name() -> None:
    machine = environment.machine(load_start=[0.1, 0.2, 0.3], load_end=None)
    assert machine.cores >= 1
    assert machine.cpu
    assert machine.features == sorted(machine.features)
    assert platform.node() not in machine.system
    assert machine.load_end is None


def test_a_governor_is_read_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "scaling_governor"
    assert environment.governor(file) is None
    file.write_text("powersave\n")
    assert environment.governor(file) == "powersave"


def test_a_busy_machine_is_said_so() -> None:
    assert environment.busy(None) == ""
    assert environment.busy([0.5, 4.0, 4.0]) == ""
    assert "a load of 1.20 (above 0.5)" in environment.busy([1.2, 0.0, 0.0])


def test_time_that_a_host_stole_is_said(tmp_path: Path) -> None:
    file = tmp_path / "stat"
    assert environment.processor_ticks(file) is None
    file.write_text("cpu  100 0 50 800 10 0 0 40 7 0\ncpu0 1 2 3\n")
    before = environment.processor_ticks(file)
    assert before == [100, 0, 50, 800, 10, 0, 0, 40]
    after = [130, 0, 60, 850, 10, 0, 0, 50]
    assert environment.stolen(before, after) == 0.1
    assert environment.stolen(before, before) is environment.stolen(None, after) is None
    assert environment.robbed(None) == environment.robbed(0.005) == ""
    assert "stole 10.0% of its time (above 0.5%)" in environment.robbed(0.1)


def test_versions_name_what_is_installed() -> None:
    found = environment.versions()
    assert found["python"] == platform.python_version()
    assert {"numpy", "pyzmq", "onnxruntime"} <= set(found)


def test_a_revision_is_of_a_repository_that_holds_the_source(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    assert environment.git_revision(tmp_path) is None
    git("init", "-q")
    source = tmp_path / "environment.py"
    source.write_text("one\n")
    assert environment.git_revision(tmp_path) is None  # in a repository, and no part of it
    git("add", "environment.py")
    git("commit", "-qm", "One")
    revision = environment.git_revision(tmp_path)
    assert revision is not None
    assert len(revision) == 12
    source.write_text("two\n")
    assert environment.git_revision(tmp_path) == f"{revision}+"


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment.git_revision() is None
