from __future__ import annotations

from upscaler.doctor.check import requirements


def test_requirements_are_those_of_this_machine_without_extras() -> None:
    asked = {one.name: one for one in requirements()}
    assert "onnxruntime" in asked
    assert "pytest" not in asked
    assert all(one.marker is None or one.marker.evaluate() for one in asked.values())
