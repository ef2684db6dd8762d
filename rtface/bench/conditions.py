"""What a figure depends on besides the program: clocks, features and load of the machine, before and during a run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rtface.machine import processor_cores, processor_features

BUSY_SHARE: Final = 0.15
"""Of the cores; when others use more, figures are not to be trusted."""
_CPUFREQ: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_RAPL: Final = Path("/sys/class/powercap")


def describe_conditions() -> dict[str, Any]:
    """features, clocks, governor, load and niceness now; None for what the system does not tell."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu_features": list(processor_features() or ()), "cpu_mhz": cpu_clocks(),
            "governor": _line(_CPUFREQ / "scaling_governor"), "boost": _line(_CPUFREQ.parent.parent / "cpufreq/boost"),
            "load_average_1min": None if load is None else round(load, 2),
            "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "niceness": os.nice(0) if hasattr(os, "nice") else None,
            "gil_switch_interval_s": sys.getswitchinterval()}


def cpu_clocks() -> list[float] | None:
    """MHz of every core now; None where the system does not tell."""
    return [round(float(core["cpu MHz"])) for core in processor_cores() if "cpu MHz" in core] or None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a stretch of time took; None for what the system does not tell."""

    seconds: float
    cores: float
    """Mean number of cores that this process kept busy."""
    others: float | None
    """Mean number of cores that everything else on the machine kept busy; what a hypervisor took is counted in."""
    memory_mb: float | None
    """Of this process at the end (resident)."""
    package_watts: float | None
    """Mean of all CPU packages (RAPL)."""

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"seconds": self.seconds, "cores": self.cores, "other_cores": self.others,
                "memory_mb": self.memory_mb, "package_watts": self.package_watts}


class UsageMeter:
    """Measures from its making to :meth:`stop`."""

    def __init__(self) -> None:
        self._energy = _energy_uj()
        self._machine = machine_seconds()
        self._own_s = time.process_time()
        self._start_s = time.monotonic()

    def stop(self) -> Usage:
        """Until now."""
        seconds = max(time.monotonic() - self._start_s, 1e-9)
        own = time.process_time() - self._own_s
        machine, energy = machine_seconds(), _energy_uj()
        others = None if machine is None or self._machine is None else max(machine - self._machine - own, 0.0) / seconds
        watts = None
        if energy is not None and self._energy is not None and energy >= self._energy:  # the counters wrap around
            watts = (energy - self._energy) / 1e6 / seconds
        return Usage(seconds, own / seconds, others, resident_mb(), watts)


def machine_seconds(stat: str | None = None) -> float | None:
    """CPU seconds that the whole machine has worked since its start, from /proc/stat (or its text); None elsewhere."""
    try:
        line = (stat if stat is not None else Path("/proc/stat").read_text()).splitlines()[0].split()
    except (OSError, IndexError):
        return None
    user, nice, system, _idle, _waiting, irq, softirq, steal = (int(v) for v in line[1:9])
    return float(user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def resident_mb() -> float | None:
    """Memory of this process now; where only the peak is known, the peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def busy_warnings(before: Mapping[str, Any], others: float | None, cores: int) -> list[str]:
    """What makes the figures doubtful: load before the run, other programs during it; one line each."""
    warnings = []
    load = before.get("load_average_1min")
    if load is not None and load > BUSY_SHARE * cores:
        warnings.append(f"the machine was busy before the run: load average {load:.2f} on {cores} cores; "
                        f"measure again when it is idle")
    if others is not None and others > BUSY_SHARE * cores:
        warnings.append(f"other programs used {others:.2f} of {cores} cores during the run; measure again when the "
                        f"machine is idle")
    if before.get("governor") not in (None, "performance"):
        warnings.append(f"the CPU governor is {before['governor']}: clocks change with the load; for steady figures: "
                        f"cpupower frequency-set -g performance")
    return warnings


def _energy_uj() -> float | None:
    """Energy counters of all CPU packages, microjoules; None when there are none or they may not be read."""
    counters = sorted(_RAPL.glob("intel-rapl:?/energy_uj")) if _RAPL.is_dir() else []
    values = [_line(path) for path in counters]
    known = [float(value) for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _line(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
