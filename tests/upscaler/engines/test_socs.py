from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import BadRequestError
from upscaler.engines.socs import (
    SOCS,
    choose_soc,
    description_of_this_machine,
    find_soc,
    parse_socs,
    soc_named_in,
)

# From Qualcomm's QnnTypes.h and the architectures it gives; nothing is derived from the table.
KNOWN = {
    "SM8450": (36, 69, "8 Gen 1"),
    "SM8475": (42, 69, "8+ Gen 1"),
    "SM8550": (43, 73, "8 Gen 2"),
    "SM8635": (68, 73, "8s Gen 3"),
    "SM8650": (57, 75, "8 Gen 3"),
    "SM8735": (85, 79, "8s Gen 4"),
    "SM8750": (69, 79, "8 Elite"),
    "SM8850": (87, 81, "8 Elite Gen 5"),
    "SC8380XP": (60, 73, "X Elite"),
}


def test_the_table() -> None:
    assert {soc.code: (soc.id, soc.architecture) for soc in SOCS} == {
        code: (number, architecture) for code, (number, architecture, _) in KNOWN.items()
    }


@pytest.mark.parametrize("code", KNOWN)
def test_a_chip_is_found_by_every_way_to_write_it(code: str) -> None:
    name = KNOWN[code][2]
    for text in (
        code,
        code.lower(),
        f" {code} ",
        name,
        name.upper(),
        f"Snapdragon {name}",
        f"Snapdragon(R) {name}",
        f"snapdragon-{name.replace(' ', '-').lower()}",
    ):
        assert find_soc(text).code == code


@pytest.mark.parametrize("text", ["", "snapdragon", "8 Gen", "sm9999", "57", "8 gen 1+", "X" * 999])
def test_an_unknown_chip_lists_the_known(text: str) -> None:
    with pytest.raises(
        BadRequestError, match=r"unknown chip .*SM8650 \(Snapdragon 8 Gen 3\)"
    ) as no:
        find_soc(text)
    assert len(str(no.value)) < 500


def test_a_list_has_each_once_and_in_order() -> None:
    assert [soc.code for soc in parse_socs("8 elite, SM8650,sm8750,X1E80100")] == [
        "SM8750",
        "SM8650",
        "SC8380XP",
    ]
    for text in ("", "sm8650,", ",", "sm8650 sm8750"):
        with pytest.raises(BadRequestError, match="unknown chip"):
            parse_socs(text)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("lenovo,yoga-slim7x qcom,x1e80100", "SC8380XP"),
        ("qcom,sm8650-hdk qcom,sm8650", "SM8650"),
        ("Snapdragon(R) X Elite - X1E78100 - Qualcomm(R) Oryon(TM) CPU", "SC8380XP"),
        ("SM8550", "SM8550"),
        ("qcom,qcs6490", None),
        ("Snapdragon(R) X 12-core X1E80100 sm8650", None),
        ("XSM8650Y", None),
        ("", None),
    ],
)
def test_the_chip_in_what_a_system_says(said: str, code: str | None) -> None:
    found = soc_named_in(said)
    assert (None if found is None else found.code) == code


def test_which_chip_an_engine_runs_on() -> None:
    sm8650, sm8550 = find_soc("sm8650"), find_soc("sm8550")
    assert choose_soc(None, None) == sm8550
    assert choose_soc(None, sm8650) == sm8650
    assert choose_soc("qcom,sm8650", None) == sm8650
    assert choose_soc("qcom,sm8650", sm8650) == sm8650
    assert choose_soc("a board", sm8650) == sm8650
    with pytest.raises(BadRequestError, match="soc=SM8550 was asked for, and this machine is SM86"):
        choose_soc("qcom,sm8650", sm8550)
    unknown = choose_soc("a board", None)
    assert (unknown.code, unknown.name, unknown.id) == ("unknown", "a board", 0)
    assert choose_soc("", None).name == "nothing"


def test_what_linux_says(tmp_path: Path) -> None:
    assert description_of_this_machine(tmp_path) == ""
    for file, content in (
        ("proc/device-tree/compatible", b"maker,board\0qcom,sm8650\0"),
        ("sys/devices/soc0/machine", b"SM8650\n"),
    ):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_bytes(content)
    said = description_of_this_machine(tmp_path)
    assert said == "maker,board qcom,sm8650 SM8650"
    assert soc_named_in(said) == find_soc("8 gen 3")
