"""Fixtures and marks for all tests."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _restore_rng() -> Iterator[None]:
    """A test that seeds or draws from a global generator leaves no trace."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch = sys.modules.get("torch")
    torch_state = torch.get_rng_state() if torch is not None else None
    yield
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    if torch is not None:
        torch.set_rng_state(torch_state)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from, nor written to, the cache of whoever runs the tests."""
    before = os.environ.get("RTFACE_CACHE")
    os.environ["RTFACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["RTFACE_CACHE"]
    else:
        os.environ["RTFACE_CACHE"] = before


@pytest.fixture(autouse=True)
def _temporary_cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may depend on the directory that a user happens to be in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _quick_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weight files of tests are compressed less far than those that are kept: that takes longer than all the rest."""
    exporter = sys.modules.get("build_engines.onnx_export")
    if exporter is not None:
        monkeypatch.setattr(exporter, "COMPRESSION", 1)


def _has_cuda() -> bool:
    """Is there an NVIDIA GPU with a working driver? Asks the driver's own tool, so that no package is needed."""
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0 and b"GPU" in found.stdout


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip ``needs_cuda`` tests without a GPU, but never where RTFACE_REQUIRE_CUDA=1 promises one."""
    cuda_tests = [item for item in items if item.get_closest_marker("needs_cuda")]
    if not cuda_tests or os.environ.get("RTFACE_REQUIRE_CUDA") == "1" or _has_cuda():
        return
    for item in cuda_tests:
        item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_cuda") and os.environ.get("RTFACE_REQUIRE_CUDA") == "1" and not _has_cuda():
        pytest.fail("RTFACE_REQUIRE_CUDA=1, but nvidia-smi finds no NVIDIA GPU here")
