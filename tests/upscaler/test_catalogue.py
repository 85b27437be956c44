from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from protocol.errors import BadRequestError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.catalogue import Catalogue
from upscaler.contract import Request
from upscaler.engines.reuse import ReusingUpscaler
from upscaler.models.library import shipped


def test_the_cheapest_shipped_network_is_the_default() -> None:
    catalogue = Catalogue()
    assert catalogue.methods[0] == "quicksrnet-small"
    assert {model.card.method for model in shipped()} <= set(catalogue.methods)


def test_every_shipped_model_can_be_opened_by_its_method_and_scale() -> None:
    catalogue = Catalogue(engine="onnxruntime")
    for model in catalogue.networks:
        size = Size(64, 36)
        request = Request(
            method=model.card.method,
            size=size,
            scale=model.card.ratio,
            pixel_format=PixelFormat.RGB8,
        )
        upscaler = catalogue.open(request)
        assert upscaler.output_shape == (36 * model.card.ratio, 64 * model.card.ratio, 3)
        upscaler.close()


def test_a_scale_without_a_model_is_told_the_others() -> None:
    catalogue = Catalogue(models=["quicksrnet-small-x2"])
    request = Request(
        method="quicksrnet-small",
        size=Size(64, 36),
        scale=Fraction(3, 2),
        pixel_format=PixelFormat.RGB8,
    )
    with pytest.raises(BadRequestError, match=r"has no model for 1\.5x; it has 2x") as refused:
        catalogue.open(request)
    assert refused.value.code == ErrorCode.UNSUPPORTED_SCALE


def test_an_unknown_method_is_told_the_names() -> None:
    with pytest.raises(BadRequestError, match="unknown method 'dlss'; choose one of") as refused:
        Catalogue(methods=["dlss"])
    assert refused.value.code == ErrorCode.UNKNOWN_METHOD


def test_filters_take_options_and_any_ratio() -> None:
    size, colour = Size(40, 20), PixelFormat.RGB8
    catalogue = Catalogue()
    request = Request(method="fsr1:denoise", size=size, scale=Fraction(13, 10), pixel_format=colour)
    assert catalogue.open(request).output_shape == (26, 52, 3)
    with pytest.raises(BadRequestError, match="quicksrnet-small has no option 'denoise'"):
        catalogue.open(replace(request, method="quicksrnet-small:denoise"))
    with pytest.raises(BadRequestError, match=r"quicksrnet-small has no model for 1\.3x"):
        catalogue.open(replace(request, method="quicksrnet-small"))


def test_networks_reuse_what_did_not_change_when_told_to() -> None:
    catalogue = Catalogue(engine="onnxruntime", reuse=True)
    request = Request(
        method="", size=Size(64, 36), scale=Fraction(2), pixel_format=PixelFormat.RGB8
    )
    upscaler = catalogue.open(request)
    assert isinstance(upscaler, ReusingUpscaler)
    upscaler.close()
    assert not isinstance(catalogue.open(replace(request, method="fsr1")), ReusingUpscaler)
    with pytest.raises(BadRequestError, match="quicksrnet-small-x2-float is a float model"):
        Catalogue(models=["quicksrnet-small-x2-float"], reuse=True)
