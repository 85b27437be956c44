"""Opens sessions of onnxruntime on a Hexagon device: compiles networks, loads compiled contexts.

Every session here is whole on the NPU. One of which onnxruntime would run any operator on the CPU
is an error that names the operators.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from protocol.errors import EngineError
from upscaler.contract import Frame
from upscaler.engines.base import Facts, compile_failed
from upscaler.engines.certificate import Certificate, Graph, parse_graph
from upscaler.engines.context_source import Found
from upscaler.engines.contexts import Entry, Purpose, make_entry
from upscaler.engines.idle_power import IdlePower
from upscaler.engines.npu_options import NpuOptions
from upscaler.engines.onnxruntime import SessionUpscaler, import_onnxruntime
from upscaler.engines.socs import Soc
from upscaler.models.library import Model

NAME = "npu"
FATAL_ONLY = 4
TENSOR_LOG = "_tensor_log"
"""End of the names of files that QNN puts beside the graphs it dumps; they list sizes only."""
BINARY = "_qnn.bin"
"""How onnxruntime-qnn names the binary beside a context's ONNX file."""
MODE = "ep.dynamic.qnn_htp_performance_mode"
ENCODINGS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hexagon:
    """A device of onnxruntime-qnn, the chip it is or imitates, and how it is driven.

    `backend` is the file of Qualcomm's library.
    """

    device: Any
    backend: str
    emulated: bool
    soc: Soc
    options: NpuOptions

    @property
    def provider(self) -> str:
        """Name of the execution provider."""
        return str(self.device.ep_name)

    @property
    def driver(self) -> str:
        """What onnxruntime knows of the device: names and values, as the system reports them."""
        known = [f"{key}: {value}" for key, value in dict(self.device.device.metadata).items()]
        return "none: emulated" if self.emulated else "; ".join(known) or "not reported"

    @property
    def lasting_facts(self) -> str:
        """The same without what changes when the machine restarts."""
        known = lasting(dict(self.device.device.metadata))
        return "none: emulated" if self.emulated else "; ".join(known)

    def provider_options(self, socs: Sequence[Soc]) -> dict[str, str]:
        """Options of the provider. It ignores names that it does not know, without a word."""
        options = self.options
        provider = {
            "backend_path": self.backend,
            "htp_performance_mode": options.performance_mode,
            "htp_graph_finalization_optimization_mode": str(options.optimization),
            "qnn_context_priority": options.context_priority,
        }
        if options.rpc_control_latency_us is not None:
            provider["rpc_control_latency"] = str(options.rpc_control_latency_us)
        if options.vtcm_mb is not None:
            provider["vtcm_mb"] = str(options.vtcm_mb)
        if self.emulated:
            provider["soc_model"] = ",".join(str(soc.id) for soc in socs)
            provider["htp_arch"] = ",".join(str(soc.architecture) for soc in socs)
        return provider

    def compile_into(
        self, model: Model, network: bytes, purpose: Purpose, stem: str, folder: Path
    ) -> Entry:
        """Compile a context into `folder` as `stem`.onnx and its binary."""
        entries = {
            "ep.context_enable": "1",
            "ep.context_file_path": str(folder / f"{stem}.onnx"),
            # A binary of its own can be read again when the NPU restarts.
            "ep.context_embed_mode": "0",
        }
        session, graphs = self.compiled(
            model, network, self.provider_options(purpose.socs), entries=entries
        )
        del session
        return make_entry(purpose, folder, [f"{stem}.onnx", f"{stem}{BINARY}"], graphs)

    def compiled(
        self,
        model: Model,
        network: bytes,
        provider: Mapping[str, str],
        *,
        entries: Mapping[str, str] | None = None,
    ) -> tuple[Any, list[Graph]]:
        """Compile a network; return the session and the graphs that QNN made of it."""
        with TemporaryDirectory(prefix="upscaler-", ignore_cleanup_errors=True) as name:
            dump = {"dump_json_qnn_graph": "1", "json_qnn_graph_dir": name}
            try:
                session = self._session(network, {**provider, **dump}, entries or {})
            except Exception as error:
                strangers = self._strangers(network, provider)
                if not strangers:
                    raise compile_failed(NAME, model, error) from error
                msg = (
                    f"npu cannot run {model.card.name}: {', '.join(strangers)} would run on the "
                    "CPU; export the model without, or choose --engine openvino"
                )
                raise EngineError(msg) from error
            graphs = [
                parse_graph(path.read_bytes())
                for path in sorted(Path(name).glob("*.json"))
                if not path.stem.endswith(TENSOR_LOG)
            ]
        return session, graphs

    def opened(self, model: Model, found: Found) -> Any:
        """Open a compiled context."""
        socs = found.entry.purpose.socs
        if self.emulated and len(socs) > 1:
            msg = (
                f"{found.path} is for several chips, which the emulator does not load; compile one "
                f"for {self.soc.code} alone to try it here"
            )
            raise EngineError(msg)
        try:
            return self._session(str(found.path), self.provider_options([self.soc]), {})
        except Exception as error:
            msg = f"npu does not take the context {found.path} of {model.card.name}: {error}"
            raise EngineError(msg) from error

    def _session(
        self, source: bytes | str, provider: Mapping[str, str], entries: Mapping[str, str]
    ) -> Any:
        """Open a session that is whole on the NPU; whatever onnxruntime raises otherwise."""
        options = self._session_options(provider)
        for key, value in {"session.disable_cpu_ep_fallback": "1", **entries}.items():
            options.add_session_config_entry(key, value)
        return import_onnxruntime().InferenceSession(source, options)

    def _session_options(self, provider: Mapping[str, str]) -> Any:
        options = import_onnxruntime().SessionOptions()
        # It logs an error for the two Transposes in its first pass, then folds them. What matters
        # is raised.
        options.log_severity_level = FATAL_ONLY
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        options.add_provider_for_devices([self.device], dict(provider))
        return options

    def _strangers(self, network: bytes, provider: Mapping[str, str]) -> list[str]:
        """Which operators of a refused network the CPU would have to run; empty if not known."""
        try:
            allowed = import_onnxruntime().InferenceSession(
                network, self._session_options(provider)
            )
            placed = placement(allowed)
        except Exception:  # noqa: BLE001 - this only looks for words for an error that is there
            return []
        kinds = [kind for where, kind in placed if where != self.provider]
        # Those around an operator stay with it; they are not why.
        return sorted({kind for kind in kinds if kind not in ENCODINGS} or set(kinds))


class QnnUpscaler(SessionUpscaler):
    """A network on the NPU. `certificate` says what of it runs where; it has no cycles.

    `power` is what the NPU's clocks do now.
    """

    def __init__(
        self, facts: Facts, session: Any, certificate: Certificate, options: NpuOptions
    ) -> None:
        super().__init__(facts, session)
        self.certificate = certificate
        # The watching thread must not keep a forgotten session alive.
        forgotten = weakref.ref(session)

        def switch(mode: str) -> None:
            living = forgotten()
            if living is not None:
                living.set_ep_dynamic_options({MODE: mode})

        self.power = IdlePower(
            switch,
            mode=options.performance_mode,
            idle_mode=options.idle_mode,
            idle_after_s=options.idle_after_s,
        )
        self._stop_watching = weakref.finalize(self, self.power.close)

    def placement(self) -> list[tuple[str, str]]:
        """Which provider runs what: (provider, operator) of every node of the optimised graph."""
        return placement(self._session)

    def _infer(self, src: Frame, dst: Frame) -> None:
        self.power.begin()
        try:
            super()._infer(src, dst)
        finally:
            self.power.end()

    def _release(self) -> None:
        self._stop_watching()
        super()._release()


def lasting(metadata: Mapping[str, str]) -> list[str]:
    """What names a device for good, as "key: value", sorted.

    Windows numbers its adapters anew at each start (LUID), and by what else is plugged in (Dxgi).
    """
    return sorted(
        f"{key}: {value}"
        for key, value in metadata.items()
        if key != "LUID" and not key.startswith("Dxgi")
    )


def placement(session: Any) -> list[tuple[str, str]]:
    """(provider, operator) of every node of a session's graph."""
    return [
        (part.ep_name, node.op_type)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]
