"""Runs quantised models on a Qualcomm Hexagon NPU, through onnxruntime-qnn.

onnxruntime-qnn is a library plugged into onnxruntime, which then offers its devices. On Snapdragon
one of them is an NPU. On x86_64 the only one is a CPU, on which Qualcomm's libraries emulate the
NPU: the same operators and integers, in seconds a frame instead of milliseconds. It is said to be
emulated wherever it is named.

A model is compiled into a context; `upscaler.engines.context_source` says where that comes from.
Nothing falls back to the CPU: what cannot be placed whole on the NPU is an error.
"""

from __future__ import annotations

import logging
import platform
import re
import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from protocol.errors import EngineError, ErrorCode
from protocol.frames import PixelFormat, Size
from upscaler.engines.base import Facts, facts_of
from upscaler.engines.certificate import (
    Certificate,
    Graph,
    Npu,
    Profile,
    certificate_of,
    parse_profile,
)
from upscaler.engines.context_source import COMPILED, ContextSource, Found
from upscaler.engines.contexts import Entry, Purpose, network_sha256
from upscaler.engines.hexagon import NAME, Hexagon, QnnUpscaler, placement
from upscaler.engines.npu_options import NpuSettings
from upscaler.engines.onnxruntime import SessionUpscaler, import_onnxruntime
from upscaler.engines.socs import Soc, choose_soc, description_of_this_machine
from upscaler.models.library import Model
from upscaler.models.specialise import specialise

X86_64 = ("x86_64", "amd64")

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)
_registering = threading.Lock()


class QnnEngine:
    """The Hexagon NPU, or its emulation on x86_64.

    Raises EngineError when onnxruntime-qnn is not installed or offers no such device, when this is
    another chip than `settings` say, or when they name a folder without contexts for it.
    """

    name = NAME

    def __init__(self, settings: NpuSettings | None = None) -> None:
        settings = settings or NpuSettings()
        onnxruntime, qnn = import_onnxruntime(), _import_qnn()
        kinds = onnxruntime.OrtHardwareDeviceType
        device, self.emulated = choose_device(
            _devices(onnxruntime, qnn), npu=kinds.NPU, may_emulate=_is_x86_64()
        )
        self.device = (
            "Hexagon NPU (HTP), emulated on the CPU"
            if self.emulated
            else f"Hexagon NPU (HTP), {device.device.vendor}"
        )
        self.version = f"{version('onnxruntime-qnn')} on onnxruntime {onnxruntime.__version__}"
        self.soc = choose_soc(
            None if self.emulated else description_of_this_machine(), settings.options.soc
        )
        if settings.contexts is not None and not self.soc.id:
            msg = (
                f"which chip this is the system does not say ({self.soc.name}), and contexts are "
                "for one chip; name it: --npu soc=CODE, see upscaler npu socs"
            )
            raise EngineError(msg)
        self._options = settings.options
        self._hexagon = Hexagon(
            device=device,
            backend=qnn.get_qnn_htp_path(),
            emulated=self.emulated,
            soc=self.soc,
            options=settings.options,
        )
        self._libraries = {
            "onnxruntime-qnn": version("onnxruntime-qnn"),
            "onnxruntime": onnxruntime.__version__,
            "QAIRT": getattr(qnn.build_and_package_info, "qnn_version", "not reported"),
        }
        self._contexts = ContextSource(settings, self.soc, self._libraries)

    def load(self, model: Model, size: Size, pixel_format: PixelFormat) -> QnnUpscaler:
        """Make `model` ready for frames of one size and format.

        Raises BadRequestError for a size that the model cannot take or that the folder of contexts
        does not have, and EngineError for a float model, one of which any operator cannot run on
        the NPU, or a folder that has no context for this model, chip and libraries.
        """
        facts = self._facts(model, size, pixel_format)
        proto = specialise(model, size, pixel_format)
        network = proto.SerializeToString()
        purpose = self._purpose(
            model, size, pixel_format, proto, socs=[self.soc], driver=self._hexagon.lasting_facts
        )
        build = partial(self._hexagon.compile_into, model, network, purpose, "context")
        opened = self._open_context(model, purpose, build)
        if opened is None:
            provider = self._hexagon.provider_options([self.soc])
            session, graphs = self._hexagon.compiled(model, network, provider)
            where = COMPILED
        else:
            session, found = opened
            graphs, where = found.entry.graphs, found.where
        certificate = self._certificate(
            model, size, pixel_format, context=where, graphs=graphs, session=session
        )
        log.info(
            "%s %s %s on %s: %s; %s",
            model.card.name,
            size,
            pixel_format.label,
            self.soc.code,
            certificate.summary,
            where,
        )
        return QnnUpscaler(facts, session, certificate, self._options)

    def certify(self, model: Model, size: Size, pixel_format: PixelFormat) -> Certificate:
        """Compile `model`, run it on one black frame and say what runs where, with cycles.

        Raises what `load` does, and EngineError when QNN writes no profile that can be read.
        """
        facts = self._facts(model, size, pixel_format)
        network = specialise(model, size, pixel_format).SerializeToString()
        # A folder that the back end still holds open on Windows is no reason to fail.
        with TemporaryDirectory(prefix="upscaler-", ignore_cleanup_errors=True) as name:
            profile = Path(name) / "profile.csv"
            provider = self._hexagon.provider_options([self.soc]) | {
                "profiling_level": "detailed",
                "profiling_file_path": str(profile),
            }
            session, graphs = self._hexagon.compiled(model, network, provider)
            upscaler = SessionUpscaler(facts, session)
            try:
                upscaler(
                    np.zeros(upscaler.input_shape, np.uint8),
                    np.empty(upscaler.output_shape, np.uint8),
                )
                certificate = partial(
                    self._certificate,
                    model,
                    size,
                    pixel_format,
                    context=COMPILED,
                    graphs=graphs,
                    session=session,
                )
            finally:
                upscaler.close()
            try:
                executed = parse_profile(profile.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                msg = f"QNN wrote no readable profile ({error}); there is no certificate without it"
                raise EngineError(msg, code=ErrorCode.INTERNAL) from error
        return certificate(profile=executed)

    def compile(
        self,
        model: Model,
        size: Size,
        pixel_format: PixelFormat,
        socs: Sequence[Soc],
        folder: Path,
    ) -> Entry:
        """Compile one context for all of `socs` into `folder`, in place of one of the same name.

        The manifest is the caller's. Raises what `load` does, OSError when the folder cannot be
        written, and EngineError on a machine with an NPU, which compiles for itself only.
        """
        if not self.emulated:
            msg = (
                "contexts for other chips are compiled on an x86_64 machine; this one compiles for "
                "itself when it loads a model, and keeps that in its cache"
            )
            raise EngineError(msg)
        self._facts(model, size, pixel_format)
        proto = specialise(model, size, pixel_format)
        purpose = self._purpose(model, size, pixel_format, proto, socs=socs)
        chips = "+".join(soc.code.lower() for soc in socs)
        name = re.sub(r"[^\w.-]", "_", model.card.name)
        stem = f"{name}-{size}-{pixel_format.label}-{chips}"
        with TemporaryDirectory(prefix=".new-", dir=folder) as unfinished:
            entry = self._hexagon.compile_into(
                model, proto.SerializeToString(), purpose, stem, Path(unfinished)
            )
            for file in entry.files:
                (Path(unfinished) / file).replace(folder / file)
        return entry

    def _open_context(
        self, model: Model, purpose: Purpose, build: Callable[[Path], Entry]
    ) -> tuple[Any, Found] | None:
        """Open the context for `purpose`; None where none is kept, and the compiler's turn is."""
        found = self._contexts.find(purpose, build)
        if found is None:
            return None
        try:
            return self._hexagon.opened(model, found), found
        except EngineError:
            if not found.replaceable:
                raise
        # Whole, but not to this driver's liking.
        self._contexts.drop(purpose)
        found = self._contexts.find(purpose, build)
        return None if found is None else (self._hexagon.opened(model, found), found)

    def _facts(self, model: Model, size: Size, pixel_format: PixelFormat) -> Facts:
        if not model.card.quantised:
            msg = f"the NPU runs quantised models only, and {model.card.name} is float"
            raise EngineError(msg)
        return facts_of(
            model, size, pixel_format, engine=NAME, device=self.device, emulated=self.emulated
        )

    def _purpose(
        self,
        model: Model,
        size: Size,
        pixel_format: PixelFormat,
        network: onnx.ModelProto,
        *,
        socs: Sequence[Soc],
        driver: str = "",
    ) -> Purpose:
        return Purpose(
            model=model.card.name,
            scale=model.card.scale,
            weights_sha256=model.card.weights_sha256,
            network_sha256=network_sha256(network),
            input_size=str(size),
            pixel_format=pixel_format.label,
            socs=tuple(socs),
            libraries=self._libraries,
            options=self._options.compiled_in,
            driver=driver,
        )

    def _certificate(
        self,
        model: Model,
        size: Size,
        pixel_format: PixelFormat,
        *,
        context: str,
        graphs: Sequence[Graph],
        session: Any,
        profile: Profile | None = None,
    ) -> Certificate:
        version_in_words = f"v{self.soc.architecture}" if self.soc.id else "the device's own"
        return certificate_of(
            model,
            size,
            pixel_format,
            npu=Npu(
                device=self.device,
                emulated=self.emulated,
                chip=self.soc.label,
                architecture=version_in_words + (", emulated" if self.emulated else ""),
                driver=self._hexagon.driver,
                libraries=self._libraries,
            ),
            context=context,
            graphs=graphs,
            elsewhere=[each for each in placement(session) if each[0] != self._hexagon.provider],
            profile=profile,
        )


def has_npu() -> bool:
    """Whether a real NPU is there. Costs nothing on x86_64, where none can be."""
    if _is_x86_64():
        return False
    try:
        return not QnnEngine().emulated
    except EngineError:
        return False


def choose_device(devices: Sequence[Any], *, npu: Any, may_emulate: bool) -> tuple[Any, bool]:
    """Return the device to use, and whether it emulates an NPU; `npu` is the kind of a real one.

    Raises EngineError when there is none.
    """
    for device in devices:
        if device.device.type == npu:
            return device, False
    if not may_emulate:
        msg = "onnxruntime-qnn finds no Hexagon NPU; install Qualcomm's NPU driver"
        raise EngineError(msg)
    if not devices:
        msg = "onnxruntime-qnn offers no device; reinstall onnxruntime-qnn"
        raise EngineError(msg)
    return devices[0], True


def _is_x86_64() -> bool:
    return platform.machine().lower() in X86_64


def _import_qnn() -> Any:
    try:
        import onnxruntime_qnn
    except ImportError as error:
        msg = (
            "the NPU needs onnxruntime-qnn (64-bit Windows, Linux or Android on Snapdragon; "
            "emulated on x86_64 Linux); run: pip install onnxruntime-qnn"
        )
        raise EngineError(msg) from error
    return onnxruntime_qnn


def _devices(onnxruntime: Any, qnn: Any) -> list[Any]:
    """Devices of the plugin, which is registered once and for the life of the process.

    Unregistering it under a living session crashes, and nothing is won by it.
    """
    check_plugs_in(onnxruntime, version("onnxruntime-qnn"))
    name = qnn.get_ep_name()
    try:
        with _registering:
            devices = _offered(onnxruntime, name)
            if not devices:
                onnxruntime.register_execution_provider_library(name, qnn.get_library_path())
                devices = _offered(onnxruntime, name)
    except Exception as error:
        msg = f"onnxruntime-qnn does not load ({error}); reinstall it with its onnxruntime"
        raise EngineError(msg) from error
    return devices


def check_plugs_in(onnxruntime: Any, plugin: str) -> None:
    """Raise EngineError for an onnxruntime that onnxruntime-qnn, version `plugin`, is not made for.

    Older ones have no plugins at all; which of the others fit is a requirement of this package.
    """
    asked = next(
        (
            one.specifier
            for one in map(Requirement, requires("upscaler") or ())
            if one.name == "onnxruntime"
        ),
        SpecifierSet(),
    )
    found = onnxruntime.__version__
    if hasattr(onnxruntime, "get_ep_devices") and asked.contains(found, prereleases=True):
        return
    msg = (
        f"onnxruntime {found} does not match onnxruntime-qnn {plugin}; "
        f"run: pip install 'onnxruntime{asked}'"
    )
    raise EngineError(msg)


def _offered(onnxruntime: Any, name: str) -> list[Any]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
