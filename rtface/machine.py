"""Where, when and with which versions and commit a figure was measured."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("rtface", "numpy", "onnxruntime", "openvino", "opencv-python-headless", "av", "torch", "tensorrt",
                   "tensorrt_rtx_cu13_bindings")
"""Those that figures depend on; what is not installed is left out."""
FEATURES: Final = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
                   "avx_vnni", "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2")
"""Instructions of CPUs that networks run faster with; names as Linux spells them, x86 first, then Arm."""


def describe_machine() -> dict[str, Any]:
    """processor, cores, system, python, versions, commit and date; plain values for JSON."""
    return {"processor": processor_name(), "cores": os.cpu_count(), "system": platform.platform(),
            "python": platform.python_version(), "versions": installed_versions(), "commit": current_commit(),
            "date": time.strftime("%Y-%m-%d")}


def processor_name() -> str:
    """Such as ``AMD EPYC (family 26, model 2)``; never empty."""
    facts = next(iter(processor_cores()), {})
    name = facts.get("model name") or facts.get("CPU part") or platform.processor() or platform.machine() or "unknown"
    family = [f"{label} {facts[key]}" for label, key in (("family", "cpu family"), ("model", "model")) if key in facts]
    return f"{name} ({', '.join(family)})" if family else name


def processor_features() -> tuple[str, ...] | None:
    """Those of :data:`FEATURES` that the CPU has; None where the system does not tell."""
    facts = next(iter(processor_cores()), {})
    flags = facts.get("flags") or facts.get("Features")
    return None if flags is None else tuple(name for name in FEATURES if name in flags.split())


def processor_cores() -> list[dict[str, str]]:
    """Facts of every logical core by their names in /proc/cpuinfo; empty where there is none (not Linux)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    blocks = (block.splitlines() for block in text.split("\n\n") if block.strip())
    pairs = ([line.partition(":") for line in block] for block in blocks)
    return [{key.strip(): value.strip() for key, _, value in block} for block in pairs]


def installed_versions() -> dict[str, str]:
    """Of the :data:`PACKAGES` that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def current_commit() -> str | None:
    """The repository's commit, with ``+`` where files differ from it; None outside of a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changes.stdout.strip() else "")
