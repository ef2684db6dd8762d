"""``rtface weights``: what is there, whether it is whole, how it came about."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rtface.cli import app
from rtface.inference import EngineSpec, shipped_names
from rtface.paths import WEIGHTS
from rtface.weight_commands import samples_seen


def weights(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["weights", *(str(a) for a in arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of two shipped networks."""
    out = tmp_path / "networks"
    out.mkdir()
    for name in ("landmarks", "contour"):
        for suffix in (".json", ".onnx.gz"):
            shutil.copy(WEIGHTS / f"{name}.compact{suffix}", out)
    return out


def test_shipped_networks_are_listed_with_size_state_samples_and_metrics() -> None:
    lines = {line.split()[0]: line for line in weights("list").stdout.splitlines()}
    assert set(lines) == {name for name, _ in shipped_names()} >= {"detector", "landmarks", "regressor", "segment"}
    for name, line in lines.items():
        size = (WEIGHTS / f"{name}.compact.onnx.gz").stat().st_size / 1e6
        described = json.loads((WEIGHTS / f"{name}.compact.json").read_text())
        total = sum(phase["samples_seen"] for phase in described["training"]["phases"])
        assert f"{size:.1f} MB  whole" in line and f"{total / 1e6:.2f} M samples" in line and "MIT" in line
        assert all(f"{key} {value}" in line for key, value in described["metrics"].items() if key != "command")


def test_whole_networks_are_verified_by_loading_them(folder: Path) -> None:
    result = weights("verify", "--folder", folder)
    assert result.exit_code == 0 and result.stdout.count(": good, onnx") == 2 and "basis" not in result.stdout


@pytest.mark.slow
def test_what_is_shipped_is_good() -> None:
    result = weights("verify")
    assert result.exit_code == 0 and "basis: good" in result.stdout
    assert result.stdout.count(": good") == len(shipped_names()) + 1


@pytest.mark.parametrize("damage", ["truncated", "altered", "foreign json", "broken json", "swapped"])
def test_a_network_that_was_tampered_with_is_named_and_hides_no_other(folder: Path, damage: str) -> None:
    network, description = folder / "contour.compact.onnx.gz", folder / "contour.compact.json"
    if damage == "truncated":
        network.write_bytes(network.read_bytes()[:1000])
    elif damage == "altered":
        content = bytearray(network.read_bytes())
        content[len(content) // 2] ^= 4
        network.write_bytes(content)
    elif damage == "foreign json":
        shutil.copy(folder / "landmarks.compact.json", description)
    elif damage == "broken json":
        description.write_text("{")
    else:
        shutil.copy(folder / "landmarks.compact.onnx.gz", network)
    result = weights("verify", "--folder", folder)
    assert result.exit_code == 1 and "landmarks.compact: good" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("contour.compact: ")]
    assert "got" in line and "expected" in line
    listed = weights("list", "--folder", folder)
    assert listed.exit_code == 0 and "whole" in listed.stdout
    assert "damaged" in listed.stdout if damage in ("truncated", "altered", "swapped") else "got" in listed.stdout


def test_the_training_json_is_shown() -> None:
    stored = json.loads((WEIGHTS / "landmarks.compact.json").read_text())
    for name in ("landmarks", "landmarks.compact"):
        result = weights("show", name)
        assert result.exit_code == 0 and json.loads(result.stdout) == stored
    result = weights("show", "ears")
    assert result.exit_code == 1 and "got 'ears', expected one of complete.compact" in result.stderr


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_folder_without_networks_is_told(tmp_path: Path, command: str) -> None:
    result = weights(command, "--folder", tmp_path)
    assert result.exit_code == 1 and f"got none in {tmp_path}" in result.stderr


@pytest.mark.parametrize(("training", "samples"), [
    ({}, None), ({"phases": []}, None), ({"phases": "x"}, None), ({"phases": [{"steps": 1}, 3]}, None),
    ({"phases": [{"samples_seen": 5}, {}, {"samples_seen": 7}]}, 12),
])
def test_samples_are_counted_over_phases(training: dict[str, Any], samples: int | None) -> None:
    assert samples_seen(EngineSpec("any", "compact", (), (), training=training)) == samples


def test_what_is_told_of_the_training_names_no_place_on_somebodys_machine() -> None:
    for path in sorted(WEIGHTS.glob("*.json")):
        assert not re.search(r'"(/|[A-Z]:\\\\|~)', path.read_text(encoding="utf-8")), path.name
