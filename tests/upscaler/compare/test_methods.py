from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import BadRequestError
from protocol.frames import Size
from upscaler.compare.methods import contestants
from upscaler.models.library import SHIPPED


def keys(*given: str, engines: tuple[str, ...] = ("onnxruntime",)) -> list[str]:
    return [each.key for each in contestants(given, engines=engines, threads=1)]


def test_networks_run_on_every_engine_and_filters_once() -> None:
    engines = ("openvino", "onnxruntime")
    assert keys("fsr1:denoise", "quicksrnet-small", engines=engines) == [
        "fsr1:denoise",
        "quicksrnet-small@openvino",
        "quicksrnet-small@onnxruntime",
    ]
    assert keys("quicksrnet-small@openvino", "bicubic") == ["quicksrnet-small@openvino", "bicubic"]


@pytest.mark.parametrize(
    ("key", "engine", "output"),
    [
        ("quicksrnet-small", "onnxruntime", (60, 60, 3)),
        ("quicksrnet-small-x1.5-float", "onnxruntime", (60, 60, 3)),
        ("quicksrnet-small@openvino", "openvino", (60, 60, 3)),
        (str(SHIPPED / "quicksrnet-small-x1.5.onnx"), "onnxruntime", (60, 60, 3)),
        ("lanczos", "numba", (60, 60, 3)),
    ],
)
def test_each_kind_of_key_opens(key: str, engine: str, output: tuple[int, int, int]) -> None:
    (each,) = contestants([key], engines=["onnxruntime"], threads=1)
    upscaler = each.opened(Size(40, 40), Size(60, 60))
    assert (upscaler.engine, upscaler.output_shape) == (engine, output)
    assert each.opened(Size(40, 40), Size(60, 60)) is upscaler
    each.close()
    each.close()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ["dlss"],
            "unknown method 'dlss'; choose one of quicksrnet-medium, quicksrnet-small, fsr1",
        ),
        (["fsr1:limiter=3"], "unknown limiter"),
        (["quicksrnet-small@cuda"], "unknown engine 'cuda'"),
        (["fsr1", "fsr1"], "'fsr1' is to be compared twice"),
        (["none.onnx"], "there is no model file none.onnx"),
    ],
)
def test_what_is_unknown_is_said_at_once(given: list[str], sentence: str) -> None:
    with pytest.raises(BadRequestError, match=sentence):
        keys(*given)


def test_a_model_of_another_scale_is_refused() -> None:
    (each,) = contestants(["quicksrnet-small-x2"], engines=["onnxruntime"], threads=1)
    with pytest.raises(BadRequestError, match=r"quicksrnet-small-x2 upscales 2x, not 1\.5x"):
        each.opened(Size(40, 40), Size(60, 60))


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model")
    with pytest.raises(BadRequestError, match=r"damaged\.onnx"):
        keys(str(damaged))
