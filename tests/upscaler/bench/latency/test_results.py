from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from protocol.errors import BadRequestError, ErrorCode
from upscaler.bench.latency.results import (
    SCHEMA,
    VERSION,
    LeftOut,
    Measured,
    Run,
    encode_run,
    read_run,
    schema_text,
    write_run,
)

MakeMeasured = Callable[..., Measured]
MakeRun = Callable[..., Run]


@pytest.fixture
def run(make_measured: MakeMeasured, make_run: MakeRun) -> Run:
    return make_run(
        make_measured([5.0, 6.0, 7.0], limits_ms=[16.7]),
        make_measured([], method="bicubic", status="failed"),
        left_out=[LeftOut(key="720p/1.5x/fsr1", reason="cannot be made")],
    )


def test_a_run_survives_its_file(run: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "run.json", run)
    assert read_run(tmp_path / "run.json") == run
    assert read_run(tmp_path) == run
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_the_published_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()
    Draft202012Validator.check_schema(json.loads(schema_text()))


def test_another_validator_accepts_what_is_written_and_no_other(run: Run) -> None:
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    written = json.loads(encode_run(run))
    validator.validate(written)
    del written["machine"]["cpu"]
    written["combinations"][0]["times"]["total_ms"][0] = "soon"
    assert len(list(validator.iter_errors(written))) == 2


def test_one_combination_by_its_parts(run: Run) -> None:
    assert run.combination("1080p", "bicubic").method == "bicubic"
    assert run.combination("1080p/2x/fsr1").method == "fsr1"
    with pytest.raises(BadRequestError, match="1080p names 2 combinations, not one, of 1080p/2x"):
        run.combination("1080p")
    with pytest.raises(BadRequestError, match="540p/fsr1 names 0 combinations"):
        run.combination("540p", "fsr1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is no JSON of a run"),
        (b"[1]", "is no JSON of a run"),
        (b'\xff{"format": 1}', "is no JSON of a run"),
        (b"{}", "is no latency run; `upscaler bench latency` writes them"),
        (b'{"format": "upscaler latency run"}', "of version 0, older than 1, which is read here"),
        (
            b'{"format": "upscaler latency run", "version": 99}',
            "of version 99, and 1 is read here; update upscaler",
        ),
        (b'{"format": "upscaler latency run", "version": 1}', "is damaged: .*missing required"),
    ],
)
def test_files_that_cannot_be_read(text: bytes, words: str, tmp_path: Path) -> None:
    assert VERSION == 1
    path = tmp_path / "run.json"
    path.write_bytes(text)
    with pytest.raises(BadRequestError, match=words) as caught:
        read_run(path)
    assert str(path) in str(caught.value)
    assert caught.value.code is ErrorCode.UNREADABLE_FILE


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"cannot read .*gone\.json: No such file"):
        read_run(tmp_path / "gone.json")


def test_a_newer_field_is_skipped(run: Run, tmp_path: Path) -> None:
    written = msgspec.json.decode(encode_run(run))
    written["added"] = 1
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(written))
    assert read_run(tmp_path) == run


def test_a_file_that_cannot_be_written_leaves_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_run(tmp_path / "run.json", run)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
