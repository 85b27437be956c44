from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from upscaler.doctor.check import Check
from upscaler.doctor.examine import guarded


def test_what_a_check_throws_is_a_failed_check() -> None:
    def missing() -> list[Check]:
        name = "upscaler"
        raise PackageNotFoundError(name)

    def broken() -> list[Check]:
        msg = "two\nlines"
        raise OSError(msg)

    (check,) = guarded("packages", missing)
    assert (check.name, check.status) == ("packages", "failed")
    assert check.detail == "upscaler is not installed"
    (check,) = guarded("clock", broken)
    assert check.detail == "OSError: two lines"
    assert "--json" in check.remedy
