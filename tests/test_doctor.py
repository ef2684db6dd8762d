"""``rtface doctor``: everything is looked at, and nothing broken hides the rest or hangs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rtface.cli import app
from rtface.doctor import Diagnosis, Finding, examine
from rtface.doctor.child import LOOKS as CHILDREN
from rtface.doctor.child import main as child
from rtface.doctor.looks import LOOKS, NETWORKS, Look, cache_folder, cameras, gpu, in_child
from rtface.doctor.processes import run_bounded
from rtface.paths import WEIGHTS

MODULE = "rtface.doctor.looks"
ECHO = Look("kernels", "echo", lambda f: f"said {f['word']}", "install it", "repair it", True)


def program(path: Path, script: str) -> Path:
    """A shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_this_machine_is_examined_as_text_and_as_json() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.stdout
    report = json.loads(result.stdout)
    found = {finding["name"]: finding for finding in report["findings"]}
    assert report["able"] and {"system", "processor", "weights", "cache", "cameras", "GPU", "kernels", "networks",
                               "ONNX Runtime", "OpenVINO", "torch", "CUDA arrays", "TensorRT", "TensorRT RTX", "OpenGL",
                               "codecs"} == set(found)
    for finding in found.values():
        assert finding["detail"] and (finding["state"] == "good" or finding["fix"]), finding
    assert found["networks"]["facts"]["backend"] in ("onnx", "openvino")
    assert found["codecs"]["facts"]["decoders"]["h264"] and "libx264" in found["codecs"]["detail"]


def test_the_report_names_fixes_and_what_stops_a_run() -> None:
    broken = Diagnosis((Finding("a", "good", "fine", "nothing to do"), Finding("b", "missing", "not there", "apt b"),
                        Finding("c", "broken", "dead", "pip c", needed=True)))
    text = "\n".join(broken.lines())
    assert not broken.able and "apt b" in text and "→ pip c" in text and "nothing to do" not in text
    assert text.endswith("mend first: c")
    assert Diagnosis(broken.findings[:2]).able and broken.to_dict()["findings"][2]["needed"] is True


def test_exit_code_1_when_nothing_can_be_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE}.examine", lambda timeout: Diagnosis((Finding("x", "missing", "no", needed=True),)))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1 and "cannot be converted here, mend first: x" in result.stdout


def test_damaged_weights_stop_and_a_failing_look_hides_nothing(tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    def explode() -> Finding:
        raise MemoryError("odd\nmachine")

    shutil.copytree(WEIGHTS, tmp_path / "weights")
    damaged = tmp_path / "weights" / "segment.compact.onnx.gz"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    monkeypatch.setattr("rtface.inference.spec.WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(f"{MODULE}.LOOKS", ())
    monkeypatch.setattr(f"{MODULE}.NETWORKS", ECHO)
    monkeypatch.setattr(f"{MODULE}.in_child", lambda look, timeout: Finding(look.name, "good", "yes", needed=True))
    monkeypatch.setattr(f"{MODULE}.processor", explode)
    diagnosis = examine(5.0)
    states = {finding.name: finding.state for finding in diagnosis.findings}
    assert states["weights"] == states["processor"] == "broken" and states["echo"] == states["system"] == "good"
    details = {finding.name: finding.detail for finding in diagnosis.findings}
    assert "segment.compact.onnx.gz: got sha256" in details["weights"]
    assert details["processor"] == "MemoryError: odd machine" and not diagnosis.able


@pytest.mark.parametrize(("script", "state", "detail"), [
    ("echo noise; echo '{\"word\": \"yes\"}'", "good", "said yes"),
    ("echo '{\"missing\": \"torch\"}'", "missing", "no package torch"),
    ("kill -SEGV $$", "broken", "killed by signal 11"),
    ("echo first >&2; echo 'ImportError: libfoo.so' >&2; exit 1", "broken", "failed with exit code 1: ImportError"),
    ("echo no json", "broken", "failed with exit code 0"),
    ("true", "broken", "failed with exit code 0: nothing was said"),
    ("echo '{\"other\": 1}'", "broken", "KeyError"),
    ("sleep 60", "broken", "no answer within 0.5 s"),
])
def test_looks_that_crash_hang_or_babble_are_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str,
                                                      state: str, detail: str) -> None:
    monkeypatch.setattr(f"{MODULE}.sys.executable", str(program(tmp_path / "python", script)))
    start = time.monotonic()
    limit_s = 0.5 if "sleep" in script else 30.0
    finding = in_child(ECHO, limit_s)
    assert time.monotonic() - start < 30
    assert finding.state == state and detail in finding.detail
    assert finding.needed and finding.stops == (state != "good")
    assert finding.fix == {"missing": "install it", "broken": "repair it"}.get(state, "")


def test_a_program_whose_children_hold_its_output_is_left_behind() -> None:
    start = time.monotonic()
    assert run_bounded(["sh", "-c", "sleep 60 & sleep 60"], 0.3).code is None
    assert time.monotonic() - start < 20
    ended = run_bounded(["sh", "-c", "echo out; echo err >&2; exit 3"], 30)
    assert ended == (3, "out\n", "err\n")
    with pytest.raises(OSError):
        run_bounded(["/no/such/program"], 1)


@pytest.mark.parametrize(("script", "state", "detail"), [
    ("echo 'NVIDIA A10, 580.1, 23028 MiB, 8.6'", "good", "NVIDIA A10, 580.1"),
    ("echo 'Failed to initialize NVML' ; exit 9", "broken", "Failed to initialize NVML"),
    ("true", "broken", "nvidia-smi failed"),
    ("sleep 60", "broken", "no answer within 0.5 s"),
    (None, "missing", "no nvidia-smi"),
])
def test_gpus_are_what_the_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, state: str,
                                       detail: str) -> None:
    (tmp_path / "bin").mkdir()
    if script is not None:
        program(tmp_path / "bin" / "nvidia-smi", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep * (script is not None)}"
                               f"{os.environ['PATH'] if script is not None else ''}")
    finding = gpu(0.5 if script == "sleep 60" else 30.0)
    assert finding.state == state and detail in finding.detail and not finding.needed
    assert state == "good" or "nvidia-driver" in finding.fix


def test_cameras_and_their_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE}.DEVICES", tmp_path)
    assert cameras().state == "missing"
    (tmp_path / "video0").touch()
    finding = cameras()
    assert finding.state == "good" and str(tmp_path / "video0") in finding.facts
    monkeypatch.setattr(f"{MODULE}.os.access", lambda path, mode: False)
    finding = cameras()
    assert finding.state == "broken" and "usermod -aG video" in finding.fix and "no permission" in finding.detail


def test_a_cache_that_cannot_be_written_is_told_and_stops_nothing(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder().state == "good"
    (tmp_path / "file").touch()
    monkeypatch.setenv("RTFACE_CACHE", str(tmp_path / "file"))
    finding = cache_folder()
    assert finding.state == "broken" and "RTFACE_CACHE" in finding.fix and not finding.stops


def test_every_child_look_is_reported_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert {look.child for look in (*LOOKS, NETWORKS)} == set(CHILDREN)

    def absent() -> dict[str, Any]:
        raise ModuleNotFoundError("No module named 'cupy'", name="cupy")

    def dead() -> dict[str, Any]:
        raise RuntimeError("driver\ntoo old")

    monkeypatch.setitem(CHILDREN, "cuda", absent)
    assert child(["cuda"]) == 0 and json.loads(capsys.readouterr().out) == {"missing": "cupy"}
    monkeypatch.setitem(CHILDREN, "cuda", dead)
    assert child(["cuda"]) == 1 and capsys.readouterr().err == "RuntimeError: driver too old\n"
