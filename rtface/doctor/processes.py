"""Run a program that may crash or hang, for a bounded time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Final, NamedTuple

GRACE_S: Final = 2.0
"""How long a killed program may take to end; one that sticks in its driver is left behind."""


class Ended(NamedTuple):
    """How a program ended."""

    code: int | None
    """Exit code, negative: the signal that killed it; None: it did not end in time."""
    output: str
    errors: str


def run_bounded(command: Sequence[str], timeout_s: float) -> Ended:
    """Run a program without input; OSError when it cannot be started. Never takes longer than timeout and grace."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, errors="replace", start_new_session=True)
    try:
        output, errors = process.communicate(timeout=timeout_s)
        return Ended(process.returncode, output, errors)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE_S)
        return Ended(None, "", "")
