"""The window's tests (window_cases.py), in a process of their own: one that has used EGL for pictures without a window,
as other tests do, can not have a window's GLX context on every driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("window_cases.py")


@pytest.mark.slow
def test_the_window() -> None:
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)],
                          cwd=CASES.parents[2], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout + done.stderr
