"""Where a figure was measured is told from what the system says, on x86, on Arm and where it says nothing."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from rtface import machine

X86 = """processor\t: 0
model name\t: AMD EPYC
cpu family\t: 26
model\t\t: 2
cpu MHz\t\t: 2596.1
flags\t\t: fpu fma avx2 avx512f

processor\t: 1
model name\t: AMD EPYC
cpu MHz\t\t: 3000
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd4f\n"


def told(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def read(path: Path, **options: str) -> str:
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize(("text", "name", "features", "cores"), [
    (X86, "AMD EPYC (family 26, model 2)", ("avx2", "fma", "avx512f"), 2),
    (ARM, "0xd4f", ("asimd", "asimddp"), 1)])
def test_the_processor_is_named(monkeypatch: pytest.MonkeyPatch, text: str, name: str, features: tuple[str, ...],
                                cores: int) -> None:
    told(monkeypatch, text)
    assert machine.processor_name() == name
    assert machine.processor_features() == features
    assert len(machine.processor_cores()) == cores


def test_a_system_that_tells_nothing_still_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, None)
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert machine.processor_cores() == [] and machine.processor_features() is None
    assert machine.processor_name() == platform.machine()
    monkeypatch.setattr(platform, "machine", lambda: "")
    assert machine.processor_name() == "unknown"


def test_this_machine() -> None:
    found = machine.describe_machine()
    assert found["cores"] >= 1 and found["processor"] and "numpy" in found["versions"]
    assert set(machine.processor_features() or ()) <= set(machine.FEATURES)
