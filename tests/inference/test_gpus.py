"""Asking the driver for GPUs: what it says, what it does not say, and no driver at all."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from rtface.inference import gpus


class Driver:
    """NVML of some GPUs; a name of None cannot be asked."""

    def __init__(self, *names: bytes | None, init: int = 0, version: bytes | None = b"580.65") -> None:
        self.names, self.init, self.version, self.calls = names, init, version, []  # type: ignore[var-annotated]

    def __call__(self, library: str) -> Driver:
        assert library == gpus.LIBRARY
        return self

    def nvmlInit_v2(self) -> int:  # noqa: N802
        self.calls.append("init")
        return self.init

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.calls.append("shutdown")
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.names)
        return 0

    def nvmlSystemGetDriverVersion(self, text: Any, size: int) -> int:  # noqa: N802
        text.value = self.version or b""
        return 0 if self.version else 3

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:  # noqa: N802
        handle._obj.value = index + 1
        return 0

    def nvmlDeviceGetName(self, handle: Any, text: Any, size: int) -> int:  # noqa: N802
        name = self.names[handle.value - 1]
        text.value = name or b""
        return 0 if name else 15


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus._ask.cache_clear()
    yield
    gpus._ask.cache_clear()


def test_models_and_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(b"NVIDIA L4", None)
    monkeypatch.setattr(ctypes, "CDLL", driver)
    assert gpus.nvidia_gpus() == ("NVIDIA L4, driver 580.65", "NVIDIA GPU 1, driver 580.65")
    assert gpus.nvidia_gpus() and driver.calls == ["init", "shutdown"], "asked once"


@pytest.mark.parametrize("driver", [Driver(b"NVIDIA L4", init=9), Driver()])
def test_a_driver_without_a_working_gpu(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    monkeypatch.setattr(ctypes, "CDLL", driver)
    assert gpus.nvidia_gpus() == ()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(library: str) -> Any:
        raise OSError(f"{library}: cannot open shared object file")
    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert gpus.nvidia_gpus() == ()


@pytest.mark.parametrize(("hidden", "count"), [("", 0), ("-1", 0), (" ", 0), ("0", 1)])
def test_gpus_may_be_hidden_from_cuda(monkeypatch: pytest.MonkeyPatch, hidden: str, count: int) -> None:
    monkeypatch.setattr(ctypes, "CDLL", Driver(b"NVIDIA L4", version=None))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert gpus.nvidia_gpus() == ("NVIDIA L4",) * count
