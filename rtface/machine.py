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


def describe_machine() -> dict[str, Any]:
    """processor, cores, system, python, versions, commit and date; plain values for JSON."""
    return {"processor": processor_name(), "cores": os.cpu_count(), "system": platform.platform(),
            "python": platform.python_version(), "versions": installed_versions(), "commit": current_commit(),
            "date": time.strftime("%Y-%m-%d")}


def processor_name() -> str:
    """As the system tells it: ``AMD EPYC``."""
    for line in processor_facts():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def processor_facts() -> list[str]:
    """Lines of /proc/cpuinfo; empty where there is none (not Linux)."""
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


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
