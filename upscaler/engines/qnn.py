"""Runs quantised models on a Qualcomm Hexagon NPU, through onnxruntime-qnn.

onnxruntime-qnn is a library plugged into onnxruntime, which then offers its devices. On Snapdragon
one of them is an NPU. On x86_64 the only one is a CPU, on which Qualcomm's libraries emulate the
NPU: the same operators and integers, in seconds a frame instead of milliseconds. It is said to be
emulated wherever it is named.

Nothing falls back to the CPU: a session that cannot be placed whole on the NPU is an error.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from protocol.errors import EngineError, ErrorCode
from protocol.frames import PixelFormat, Size, upscaled_size
from upscaler.engines.base import compile_failed, facts_of
from upscaler.engines.certificate import (
    CYCLES_OF_EMULATOR,
    CYCLES_OF_NPU,
    NPU,
    NPU_EMULATED,
    Certificate,
    operators_of,
    parse_graph,
    parse_profile,
)
from upscaler.engines.onnxruntime import SessionUpscaler, import_onnxruntime
from upscaler.models.library import Model
from upscaler.models.specialise import specialise

NAME = "npu"
X86_64 = ("x86_64", "amd64")
FATAL_ONLY = 4
EMULATED_ARCHITECTURE = "73"
"""Hexagon v73 (Snapdragon 8 Gen 2, X Elite). Unset, the emulator is a v68, whose results differ."""
TENSOR_LOG = "_tensor_log"
"""End of the names of files that QNN puts beside the graphs it dumps; they list sizes only."""

_registering = threading.Lock()


class QnnEngine:
    """The Hexagon NPU, or its emulation on x86_64.

    Raises EngineError when onnxruntime-qnn is not installed or offers no such device.
    """

    name = NAME

    def __init__(self) -> None:
        onnxruntime, qnn = import_onnxruntime(), _import_qnn()
        devices = _devices(onnxruntime, qnn)
        kinds = onnxruntime.OrtHardwareDeviceType
        npus = [device for device in devices if device.device.type == kinds.NPU]
        self.emulated = not npus
        if self.emulated and not _is_x86_64():
            msg = "onnxruntime-qnn finds no Hexagon NPU; install Qualcomm's NPU driver"
            raise EngineError(msg)
        if not devices:
            msg = "onnxruntime-qnn offers no device; reinstall onnxruntime-qnn"
            raise EngineError(msg)
        self._device = npus[0] if npus else devices[0]
        self.device = (
            "Hexagon NPU (HTP), emulated on the CPU"
            if self.emulated
            else f"Hexagon NPU (HTP), {self._device.device.vendor}"
        )
        self.version = f"{version('onnxruntime-qnn')} on onnxruntime {onnxruntime.__version__}"
        # Unknown keys are ignored without a word: spell them as the provider's documentation does.
        self._options = {"backend_path": qnn.get_qnn_htp_path()}
        self._libraries = {
            "onnxruntime-qnn": version("onnxruntime-qnn"),
            "onnxruntime": onnxruntime.__version__,
            "QAIRT": getattr(qnn.build_and_package_info, "qnn_version", "not reported"),
        }
        if self.emulated:
            self._options["htp_arch"] = EMULATED_ARCHITECTURE
        else:
            self._options["htp_performance_mode"] = "burst"
            self._options["htp_graph_finalization_optimization_mode"] = "3"

    def load(self, model: Model, size: Size, pixel_format: PixelFormat) -> QnnUpscaler:
        """Compile `model` for frames of one size and format.

        Raises BadRequestError for a size that the model cannot take, and EngineError for a float
        model or one of which any operator cannot run on the NPU.
        """
        return self._load(model, size, pixel_format, self._options)

    def certify(self, model: Model, size: Size, pixel_format: PixelFormat) -> Certificate:
        """Compile `model`, run it on one black frame and say what runs where.

        Raises what `load` does, and EngineError when QNN writes no profile that can be read.
        """
        # A folder that the back end still holds open on Windows is no reason to fail.
        with TemporaryDirectory(prefix="upscaler-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            profile = folder / "profile.csv"
            graphs = folder / "graphs"
            graphs.mkdir()
            reports = {
                "profiling_level": "detailed",
                "profiling_file_path": str(profile),
                "dump_json_qnn_graph": "1",
                "json_qnn_graph_dir": str(graphs),
            }
            upscaler = self._load(model, size, pixel_format, self._options | reports)
            try:
                upscaler(
                    np.zeros(upscaler.input_shape, np.uint8),
                    np.empty(upscaler.output_shape, np.uint8),
                )
                placed = upscaler.placement()
            finally:
                upscaler.close()
            try:
                executed = parse_profile(profile.read_text(encoding="utf-8"))
                compiled = [
                    parse_graph(path.read_bytes())
                    for path in sorted(graphs.glob("*.json"))
                    if not path.stem.endswith(TENSOR_LOG)
                ]
            except (OSError, UnicodeDecodeError) as error:
                msg = f"QNN wrote no readable profile ({error}); there is no certificate without it"
                raise EngineError(msg, code=ErrorCode.INTERNAL) from error
        card = model.card
        return Certificate(
            model=card.name,
            weights_sha256=card.weights_sha256,
            input_size=str(size),
            output_size=str(upscaled_size(size, card.ratio)),
            pixel_format=pixel_format.label,
            device=self.device,
            emulated=self.emulated,
            architecture=(
                f"v{EMULATED_ARCHITECTURE}, emulated" if self.emulated else "the device's own"
            ),
            driver="none: emulated" if self.emulated else self._driver(),
            libraries=self._libraries,
            inputs=[tensor for graph in compiled for tensor in graph.inputs],
            outputs=[tensor for graph in compiled for tensor in graph.outputs],
            operators=operators_of(
                executed,
                compiled,
                elsewhere=[each for each in placed if each[0] != self._device.ep_name],
                placed=NPU_EMULATED if self.emulated else NPU,
            ),
            transfer_cycles=executed.transfers,
            cycles=executed.cycles,
            cycles_of=CYCLES_OF_EMULATOR if self.emulated else CYCLES_OF_NPU,
        )

    def _driver(self) -> str:
        """What onnxruntime knows of the device: names and values, as the system reports them."""
        known = dict(self._device.device.metadata)
        return "; ".join(f"{key}: {value}" for key, value in known.items()) or "not reported"

    def _load(
        self,
        model: Model,
        size: Size,
        pixel_format: PixelFormat,
        provider_options: Mapping[str, str],
    ) -> QnnUpscaler:
        if not model.card.quantised:
            msg = f"the NPU runs quantised models only, and {model.card.name} is float"
            raise EngineError(msg)
        facts = facts_of(
            model, size, pixel_format, engine=NAME, device=self.device, emulated=self.emulated
        )
        network = specialise(model, size, pixel_format).SerializeToString()
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        # It logs an error for the two Transposes in its first pass, then folds them. What matters
        # is raised.
        options.log_severity_level = FATAL_ONLY
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        try:
            options.add_provider_for_devices([self._device], dict(provider_options))
            return QnnUpscaler(facts, onnxruntime.InferenceSession(network, options))
        except Exception as error:
            raise compile_failed(NAME, model, error) from error


class QnnUpscaler(SessionUpscaler):
    """A network on the NPU."""

    def placement(self) -> list[tuple[str, str]]:
        """Which provider runs what: (provider, operator) of every node of the optimised graph."""
        return [
            (part.ep_name, node.op_type)
            for part in self._session.get_provider_graph_assignment_info()
            for node in part.get_nodes()
        ]


def has_npu() -> bool:
    """Whether a real NPU is there. Costs nothing on x86_64, where none can be."""
    if _is_x86_64():
        return False
    try:
        return not QnnEngine().emulated
    except EngineError:
        return False


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


def _offered(onnxruntime: Any, name: str) -> list[Any]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
