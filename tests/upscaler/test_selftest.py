from __future__ import annotations

import sys

import pytest

from upscaler.selftest import MAX_LEVELS, SelfTest, judge, measure_apart, one_line


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_an_engine_is_measured_in_a_process_of_its_own(engine: str) -> None:
    found = measure_apart(engine)
    assert found.error == ""
    assert found.engine == engine
    assert found.levels_apart is not None
    assert found.levels_apart <= MAX_LEVELS
    assert found.version
    assert found.frame_ms > 0


def test_what_an_engine_raises_is_said() -> None:
    found = measure_apart("cuda")
    assert found.error.startswith("unknown engine 'cuda'")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with signal 11"),
        ("import sys; sys.exit('no driver')", "ended with code 1: no driver"),
        ("print('{}')", "ended with code 0"),
        ("input()", "EOF"),
    ],
)
def test_a_process_that_dies_is_an_error(code: str, words: str) -> None:
    found = measure_apart("npu", command=[sys.executable, "-c", code])
    assert words in found.error
    assert "\n" not in found.error


def test_a_process_that_hangs_is_an_error() -> None:
    code = "import threading; threading.Event().wait()"
    found = measure_apart("npu", limit_s=0.2, command=[sys.executable, "-c", code])
    assert found.error == "no result within 0.2 s"


def test_a_program_that_is_missing_is_an_error() -> None:
    assert "does not start" in measure_apart("npu", command=["/no/such/program"]).error


def test_lines_of_libraries_before_the_answer_do_not_matter() -> None:
    code = 'print(" # LIBNATIVE: no configuration"); print(\'{"engine": "npu", "frame_ms": 2.5}\')'
    found = measure_apart("npu", command=[sys.executable, "-c", code])
    assert found == SelfTest(engine="npu", frame_ms=2.5)


def test_a_wrong_picture_is_an_error() -> None:
    assert judge(SelfTest(engine="npu"), MAX_LEVELS).error == ""
    assert "6 levels from onnxruntime's" in judge(SelfTest(engine="npu"), 6).error
    assert "6 levels from the float" in judge(SelfTest(engine="onnxruntime"), 6).error


def test_pages_of_vendors_become_a_line() -> None:
    assert one_line("a\n  b\n") == "a b"
    assert one_line(KeyError()) == "KeyError"
    assert len(one_line("x" * 5000)) < 400
