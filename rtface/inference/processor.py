"""What the CPU is called and which instructions it has that networks profit from."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Final

FEATURES: Final = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_bf16",
                   "amx_int8", "asimd", "bf16", "i8mm")
"""Names as Linux spells them, x86 first, then Arm."""


@cache
def cpu_model() -> str:
    """Such as ``AMD EPYC (family 26, model 2)``; never empty."""
    facts = _first_cpu()
    name = facts.get("model name") or facts.get("CPU part") or platform.processor() or platform.machine() or "unknown"
    family = [f"{label} {facts[key]}" for label, key in (("family", "cpu family"), ("model", "model")) if key in facts]
    return f"{name} ({', '.join(family)})" if family else name


@cache
def cpu_features() -> tuple[str, ...] | None:
    """Those of :data:`FEATURES` that the CPU has; None where the system does not tell."""
    facts = _first_cpu()
    flags = facts.get("flags") or facts.get("Features")
    return None if flags is None else tuple(name for name in FEATURES if name in flags.split())


def _first_cpu() -> dict[str, str]:
    """Lines of /proc/cpuinfo up to the first empty one; empty where there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
