"""python -m build_engines from weights to files: manifests, what is kept and what is built again, faults."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

from build_engines import __main__ as program
from build_engines import build as building
from build_engines import samples, tasks
from rtface.errors import ModelFileError
from rtface.inference.manifest import find_engine, manifests, read_manifest
from rtface.inference.spec import read_spec
from rtface.paths import PACKAGE

SCHEMA = json.loads((PACKAGE.parent / "engines" / "manifest.schema.json").read_text())
NAME = "complete"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the program."""
    code = program.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one engine of a shipped network, built once."""
    folder = tmp_path_factory.mktemp("engines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "COUNT", 2)
        assert program.main([NAME, "--out", str(folder), "--batch", "1:2:4"]) == 0
    return folder


@pytest.fixture
def folder(shipped: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(shipped, tmp_path / "engines"))


def test_the_manifest_says_all_that_its_schema_asks_for(shipped: Path) -> None:
    (manifest,) = manifests(shipped)
    data = json.loads(manifest.path.read_text())
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(data, SCHEMA)
    version = data["build"]["versions"] and data["version"]
    assert manifest.path.name == f"{NAME}.compact.fp16.any.rtx{version}.json"
    spec = read_spec(NAME, "compact")
    assert data["weights_sha256"] == spec.sha256 and not data["untrained"]
    assert [t["name"] for t in data["inputs"]] == ["crops", "mask", "contour"]
    assert data["profiles"][0]["mask"]["max"] == [4, 1, 128, 128]
    assert data["parity"]["figures"][0]["value"] > 45 and data["layers"]["float16"] > 100
    assert data["build"]["log"] and data["engine_bytes"] == manifest.engine.stat().st_size
    for damage in ({"format": 2}, {"engine_sha256": "x"}, {"extra": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data | damage, SCHEMA)


def test_what_lies_beside_the_engine_is_what_it_was_built_from(shipped: Path) -> None:
    (manifest,) = manifests(shipped)
    onnx.checker.check_model(str(manifest.path.with_suffix(".onnx")), full_check=True)
    assert {path.suffix for path in shipped.iterdir()} == {".engine", ".json", ".onnx"}  # and nothing temporary


def test_the_engine_is_found_by_the_run_time(shipped: Path) -> None:
    (manifest,) = manifests(shipped)
    found, content = find_engine(read_spec(NAME, "compact"), "rtx", version=manifest.version, capability=86,
                                 precisions=("fp16",), folder=shipped)
    assert found == manifest and content == manifest.engine.read_bytes()
    with pytest.raises(ModelFileError, match="built for any, this GPU is sm75"):
        find_engine(read_spec(NAME, "compact"), "rtx", version=manifest.version, capability=75, precisions=("fp16",),
                    folder=shipped)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("this would build")


def test_an_engine_that_is_up_to_date_is_kept(folder: Path, capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "prepare", never)
    assert run(capsys, NAME, "--out", folder, "--batch", "1:2:4")[:2] == (
        0, f"kept   {next(folder.glob('*.engine'))}  {next(folder.glob('*.engine')).stat().st_size / 1e6:.1f} MB\n")


@pytest.mark.parametrize("why", ["batch", "sm", "precision", "damage", "weights", "asked"])
def test_an_engine_that_is_not_what_was_asked_for_is_built_again(folder: Path, why: str, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "prepare", never)
    arguments = [NAME, "--out", str(folder), "--batch", "1:2:4"]
    if why == "damage":
        next(folder.glob("*.engine")).write_bytes(b"cut off")
    elif why == "weights":
        weights = tmp_path / "weights"
        weights.mkdir()
        spec = read_spec(NAME, "compact")
        assert spec.path is not None
        shutil.copy(spec.path, weights)
        text = (spec.path.parent / f"{NAME}.compact.json").read_text().replace(spec.sha256, "0" * 64)
        (weights / f"{NAME}.compact.json").write_text(text)
        arguments += ["--weights", str(weights)]
    else:
        arguments += {"batch": ["--batch", "1:1:1"], "sm": ["--sm", "86"], "precision": ["--precision", "fp32"],
                      "asked": ["--rebuild"]}[why]
    with pytest.raises(AssertionError, match="this would build"):
        program.main(arguments)


def test_a_build_that_fails_leaves_the_old_engine(folder: Path, capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_: Any, **__: Any) -> Any:
        raise ModelFileError("TensorRT said no")
    monkeypatch.setattr(building, "prepare", fail)
    code, _, err = run(capsys, NAME, "--out", folder, "--rebuild")
    assert code == 1 and err == "error: TensorRT said no\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_others_may_write_is_refused_before_the_work(folder: Path, capsys: pytest.CaptureFixture[str],
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "prepare", never)
    folder.chmod(0o777)
    code, _, err = run(capsys, NAME, "--out", folder)
    assert code == 1 and f"chmod go-w {folder}" in err


def test_list_says_what_is_usable(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    engine = next(folder.glob("*.engine"))
    assert run(capsys, "--list", "--out", folder) == (0, f"{engine.name}  ready\n", "")
    engine.write_bytes(engine.read_bytes()[:-1])
    assert "not usable: " in run(capsys, "--list", "--out", folder)[1]
    assert "no engines in" in run(capsys, "--list", "--out", tmp_path / "nowhere")[1]


def test_clean_deletes_engines_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "README.md").write_text("mine")
    (folder / "manifest.schema.json").write_text("{}")
    code, out, _ = run(capsys, "landmarks", "--clean", "--out", folder)
    assert code == 0 and "nothing to delete" in out
    code, out, _ = run(capsys, "--clean", "--out", folder)
    assert code == 0 and out.count("deleted") == 3
    assert {path.name for path in folder.iterdir()} == {"README.md", "manifest.schema.json"}
    assert "nothing to delete" in run(capsys, "--clean", "--out", folder / "nowhere")[1]


def test_a_new_folder_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> Any:
        raise ModelFileError("far enough")
    monkeypatch.setattr(building, "prepare", stop)
    before = os.umask(0)
    try:
        assert program.main([NAME, "--out", str(tmp_path / "a" / "engines")]) == 1
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "engines").stat().st_mode & 0o777 == 0o755


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, NAME, "--out", tmp_path / "file" / "engines")
    assert code == 1 and err.startswith("error: cannot write")


@pytest.mark.slow
def test_verify_compares_every_runtime_and_says_what_did_not_run(shipped: Path, tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str],
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "COUNT", 2)
    monkeypatch.setattr(building.precision, "decide", never)  # the engine's manifest knows
    code, out, err = run(capsys, NAME, "--verify", "--out", shipped, "--json", tmp_path / "figures.json")
    assert code == 0 and err == f"comparing {NAME}.compact …\n"
    for runtime in ("torch fp16", "onnxruntime, stored file", "onnxruntime, typed fp16", "openvino f32"):
        assert f"| {NAME}.compact | {runtime}" in out
    data = json.loads((tmp_path / "figures.json").read_text())
    ran = {r["runtime"]: r for r in data["results"] if not r["skipped"]}
    assert ran["onnxruntime, stored file"]["figures"][0]["value"] > ran["torch fp16"]["figures"][0]["value"] > 45
    assert all(r["kept"] and not r["broken"] for r in ran.values())
    assert len(data["results"]) == 8 and "torch fp16" in ran  # 4 on the CPU; 2 flavours, with graphs and without

    def doubled(*_: Any) -> tuple[tasks.Figure, ...]:
        return (tasks.Figure("PSNR in the hole, dB", 40.0, 45.0, 1.8),)
    monkeypatch.setattr(tasks, "compare", doubled)
    monkeypatch.setattr("build_engines.verify.runtimes", lambda made, order: [
        ("twice as bright", lambda: nullcontext(lambda feed: {"pixels": feed["crops"] * np.nan}))])
    code, out, err = run(capsys, NAME, "--verify", "--out", shipped)
    assert code == 1 and "**beyond the limit**" in out and "NaN or infinite: black, white" in out
    assert f"error: {NAME}.compact on twice as bright breaks a limit" in err


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "got none, expected names or --all; there are detector, landmarks"),
    (["landmarks", "--all"], "got names and --all"),
    (["nose"], "network: got 'nose', expected one of detector"),
    (["--all", "--profile", "paper"], "got no weights of profile paper"),
    (["landmarks", "--profile", "paper"], "weights of landmarks, profile paper"),
    (["landmarks", "--batch", "8:4"], "--batch: got '8:4'"),
    (["landmarks", "--sm", "x"], "--sm: got 'x', expected compute capabilities"),
    (["landmarks", "--untrained"], "--untrained: got no --weights"),
    (["landmarks", "--via", "torch-tensorrt"], "pip install torch-tensorrt"),
])
def test_wrong_arguments_are_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str],
                                  tmp_path: Path) -> None:
    code, _, err = run(capsys, *arguments, "--out", tmp_path)
    assert code == 1 and err.startswith("error: ") and message in err
    assert not any(tmp_path.glob("*.engine"))


def test_the_schema_and_the_readme_are_all_that_git_keeps_of_engines() -> None:
    names = {path.name for path in (PACKAGE.parent / "engines").iterdir()
             if path.suffix not in (".engine", ".onnx", ".cache", ".ep") and ".fp" not in path.name}
    assert names - {"timing.cache"} == {"README.md", "manifest.schema.json"}


def test_manifests_are_read_as_they_are_written(shipped: Path) -> None:
    (path,) = shipped.glob("*.json")
    manifest = read_manifest(path)
    assert manifest.precision == "fp16" and manifest.sm == "any" and manifest.profiles[0]["crops"][1][0] == 2
