"""Where files live. Nothing in rtface depends on the current directory."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
WEIGHTS = PACKAGE / "weights"
"""Shipped weights and the morphable basis."""
SHADERS = PACKAGE / "render" / "shaders"


def cache() -> Path:
    """Folder for files that can be made again (probe results, built engines): ``$RTFACE_CACHE``,
    else ``$XDG_CACHE_HOME/rtface``, else ``~/.cache/rtface``. It is not created here."""
    if root := os.environ.get("RTFACE_CACHE"):
        return Path(root)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rtface"


def engines() -> Path:
    """Folder of compiled engines: ``$RTFACE_ENGINES``, else ``engines`` of the checkout that this package runs from,
    else ``engines`` in :func:`cache`. It is not created here."""
    if root := os.environ.get("RTFACE_ENGINES"):
        return Path(root)
    checkout = PACKAGE.parent
    return checkout / "engines" if (checkout / "engines" / "README.md").is_file() else cache() / "engines"
