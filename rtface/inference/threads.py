"""How many threads an engine takes when nobody says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MAX_THREADS: Final = 8
"""Large networks gain little beyond; the rest of the machine stays free."""
SMALL: Final = ("compact",)
"""Profiles of networks that take a millisecond or two. A second thread makes them slower: handing over every layer
takes longer than computing it (docs/backends.md)."""


def physical_cores() -> int:
    """Physical cores that this process may use (hardware threads of one core count once), at least 1."""
    try:
        cpus = os.sched_getaffinity(0)
    except AttributeError:  # not on Linux
        return max(1, (os.cpu_count() or 2) // 2)
    cores = set()
    for cpu in cpus:
        try:
            siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        except OSError:
            siblings = str(cpu)
        cores.add(siblings.strip())
    return max(1, len(cores))


def default_threads(profile: str) -> int:
    """1 for the networks of a small profile, else one per physical core, at most :data:`MAX_THREADS`."""
    return 1 if profile in SMALL else min(physical_cores(), MAX_THREADS)
