"""Which NVIDIA GPUs the driver knows: asked of its own library, so that no package has to be installed or imported."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
from typing import Any, Final

LIBRARY: Final = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
"""NVML, which comes with every driver."""
_TEXT: Final = 96
"""Bytes; NVML's own limit for names."""


def nvidia_gpus() -> tuple[str, ...]:
    """Models of the GPUs, each with the driver's version: ``NVIDIA L4, driver 580.65``; none where there is no driver.

    An empty ``CUDA_VISIBLE_DEVICES``, or one of -1, hides them all, as it does from CUDA.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return ()
    return _ask()


@lru_cache(maxsize=1)
def _ask() -> tuple[str, ...]:
    try:
        nvml: Any = ctypes.CDLL(LIBRARY)
        if nvml.nvmlInit_v2() != 0:
            return ()
    except (OSError, AttributeError):  # no driver, or one that is older than these names
        return ()
    try:
        count, text = ctypes.c_uint(), ctypes.create_string_buffer(_TEXT)
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return ()
        known = nvml.nvmlSystemGetDriverVersion(text, _TEXT) == 0
        driver = f", driver {text.value.decode(errors='replace')}" if known else ""
        found = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            named = (nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) == 0
                     and nvml.nvmlDeviceGetName(handle, text, _TEXT) == 0)
            found.append((text.value.decode(errors="replace") if named else f"NVIDIA GPU {index}") + driver)
        return tuple(found)
    finally:
        nvml.nvmlShutdown()
