"""Manifests of engines: what is broken or renamed, which GPU fits, the command that builds one, where engines lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtface import paths
from rtface.errors import ModelFileError
from rtface.inference.manifest import build_command, compiled, find_engine, read_manifest, runs_on
from rtface.paths import WEIGHTS
from tests.inference.engine_files import SPEC, write_engine


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 0}', "\xff"])
def test_broken_manifests_are_told_and_passed_over(tmp_path: Path, text: str) -> None:
    path = write_engine(tmp_path)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelFileError, match="does not describe an engine"):
        read_manifest(path)
    with pytest.raises(ModelFileError, match="build it here with"):
        find_engine(SPEC, "tensorrt", version="9.9.9", capability=86, precisions=("fp16",), folder=tmp_path)


def test_a_renamed_engine_is_not_taken(tmp_path: Path) -> None:
    path = write_engine(tmp_path, sm="sm89")
    other = path.rename(tmp_path / path.name.replace("sm89", "sm86"))
    with pytest.raises(ModelFileError, match="the file was renamed"):
        read_manifest(other)


def test_commands_can_be_typed_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTFACE_ENGINES", str(tmp_path))
    plain = "python -m build_engines tiny --flavour rtx --precision fp16 --batch 1:4:8 --profile compact"
    assert build_command("tiny", "compact", "rtx", folder=tmp_path, weights=WEIGHTS) == plain
    other = build_command("tiny", "compact", "rtx", folder=Path("/my engines"), sm="86", weights=Path("w"))
    assert other == f"{plain} --sm 86 --weights w --out '/my engines'"


def test_engines_lie_in_the_checkout_or_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RTFACE_ENGINES", raising=False)
    monkeypatch.setenv("RTFACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "rtface")
    assert paths.engines() == tmp_path / "cache" / "engines"
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "README.md").write_text("")
    assert paths.engines() == tmp_path / "engines"


def test_a_flavour_is_compiled_when_one_set_has_every_network(tmp_path: Path) -> None:
    specs, precisions = (SPEC, replace(SPEC, name="other")), ("fp16", "fp32")
    write_engine(tmp_path)
    write_engine(tmp_path, name="other", sm="sm89")  # for another GPU: no set
    write_engine(tmp_path, name="other", weights="cd" * 32)  # of other weights
    assert compiled(specs, precisions, tmp_path) == {} and compiled((), precisions, tmp_path) == {}
    write_engine(tmp_path, name="other", precision="fp32")
    first = compiled(specs, precisions, tmp_path)
    assert first.keys() == {"tensorrt"} and compiled(specs, precisions, tmp_path) == first
    assert compiled(specs, ("fp32",), tmp_path) == {}
    write_engine(tmp_path, name="other", sm="sm86", more=1)
    assert compiled(specs, precisions, tmp_path) != first, "another engine, another trial"
    for name in ("tiny", "other"):
        write_engine(tmp_path, name=name, flavour="rtx", sm="any")
    assert compiled(specs, precisions, tmp_path).keys() == {"tensorrt", "rtx"}


@pytest.mark.parametrize(("sm", "capability", "runs"), [
    ("sm86", 86, True), ("sm86", 89, False), ("sm80+sm120", 120, True), ("any", 86, True), ("any", 75, False)])
def test_which_gpu_an_engine_runs_on(sm: str, capability: int, runs: bool) -> None:
    assert runs_on(sm, capability) is runs
