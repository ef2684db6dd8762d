"""Use, memory, clock and power of NVIDIA GPUs during a run, through NVML (package nvidia-ml-py) where there is one."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Final, Self

PERIOD_S: Final = 0.1


class GpuSensors:
    """Reads the first GPU in a thread of its own; a context manager."""

    def __init__(self, nvml: Any, period_s: float = PERIOD_S) -> None:
        """nvml: the module pynvml, initialised; use :func:`open_gpu_sensors`."""
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByIndex(0)
        name = nvml.nvmlDeviceGetName(self._handle)
        self._name = name.decode() if isinstance(name, bytes) else str(name)
        self._readings: list[dict[str, float | None]] = []
        self._end = threading.Event()
        self._period_s = period_s
        self._thread = threading.Thread(target=self._work, name="rtface-gpu-sensors", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._end.wait(self._period_s):
            self._readings.append(self._read())

    def _read(self) -> dict[str, float | None]:
        nvml, handle = self._nvml, self._handle

        def ask(function: str, *arguments: Any) -> Any:
            try:
                return getattr(nvml, function)(handle, *arguments)
            except nvml.NVMLError:  # what this GPU or driver does not tell
                return None

        use, memory, power = (ask(f"nvmlDeviceGet{name}") for name in ("UtilizationRates", "MemoryInfo", "PowerUsage"))
        clock = ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM)
        return {"utilisation_percent": None if use is None else float(use.gpu),
                "memory_mb": None if memory is None else memory.used / 1e6,
                "watts": None if power is None else power / 1e3, "sm_mhz": None if clock is None else float(clock)}

    def reset(self) -> None:
        """Forget what was read so far."""
        self._readings = []

    def reading(self) -> dict[str, Any] | None:
        """name and means since the last reset: utilisation_percent, memory_mb (of all programs), watts, sm_mhz."""
        readings = self._readings
        if not readings:
            return None
        out: dict[str, Any] = {"name": self._name}
        for key in readings[0]:
            known = [value for r in readings if (value := r[key]) is not None]
            out[key] = sum(known) / len(known) if known else None
        return out

    def close(self) -> None:
        """End the thread and NVML; a second call does nothing."""
        if not self._end.is_set():
            self._end.set()
            self._thread.join()
            self._nvml.nvmlShutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def open_gpu_sensors() -> GpuSensors | None:
    """None where there is no NVIDIA driver, no GPU, or no package nvidia-ml-py."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return GpuSensors(pynvml)
    except pynvml.NVMLError:
        pynvml.nvmlShutdown()
        return None
