from __future__ import annotations

from upscaler.machine import cpu_name


def test_the_processor_has_a_name() -> None:
    assert cpu_name().strip() == cpu_name() != ""
