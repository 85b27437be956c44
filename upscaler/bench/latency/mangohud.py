"""A combination as a log of MangoHud: two lines about the system, the columns, a row a frame.

The columns are those of MangoHud 0.8.

`frametime` is the latency of the frame in ms, the figure that everything else here is made of, and
`fps` is 1000 / frametime. `elapsed` is when the frame arrived, in ns from the first submission on.
Sensors that nobody read are 0, as in MangoHud's own logs. `mangoplot` and its website read it.
"""

from __future__ import annotations

from upscaler.bench.latency.results import Machine, Measured

SYSTEM = ("os", "cpu", "gpu", "ram", "kernel", "driver", "cpuscheduler")
COLUMNS = (
    "fps",
    "frametime",
    "cpu_load",
    "cpu_power",
    "gpu_load",
    "cpu_temp",
    "gpu_temp",
    "gpu_core_clock",
    "gpu_mem_clock",
    "gpu_vram_used",
    "gpu_power",
    "ram_used",
    "swap_used",
    "process_rss",
    "cpu_mhz",
    "elapsed",
)


def mangohud_log(measured: Measured, machine: Machine) -> str:
    """Return the log as text; dropped frames have no frame time and no row."""
    system, _, kernel = machine.system.partition(", ")[0].partition(" ")
    memory_kib = (machine.memory_mib or 0) * 1024
    device = f"{measured.device}{' (emulated)' if measured.emulated else ''}"
    facts = (
        system,
        machine.cpu,
        device,
        str(memory_kib),
        kernel,
        measured.engine,
        machine.governor or "",
    )
    times = measured.times
    lines = [
        ",".join(SYSTEM),
        ",".join(fact.replace(",", ";") for fact in facts),
        ",".join(COLUMNS),
    ]
    for at_ms, late_ms, total_ms in zip(times.at_ms, times.late_ms, times.total_ms, strict=True):
        elapsed_ns = round((at_ms + total_ms - late_ms) * 1e6)
        fps = 1000 / total_ms if total_ms else 0.0
        sensors = ["0"] * (len(COLUMNS) - 3)
        lines.append(",".join([f"{fps:.4f}", f"{total_ms:.4f}", *sensors, str(elapsed_ns)]))
    return "\n".join(lines) + "\n"
