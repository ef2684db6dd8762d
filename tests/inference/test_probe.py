"""``--backend auto``: the trial, its cache, and everything that must not break a run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtface import paths
from rtface.errors import BackendError
from rtface.inference import Choice, EngineSpec, FakeEngine, TensorSpec, choose_backend, open_engine
from rtface.inference.probe import BUDGET_S, ROUNDS, choose, example_inputs

BOTH = ("onnx", "openvino")
SPECS = (EngineSpec("eyes", "compact", (TensorSpec("crops", ("N", 3, 4, 4)), TensorSpec("mask", ("N", 1, 4, 4))),
                    (TensorSpec("mean", ("N",)),), sha256="ab"),)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTFACE_CACHE", str(tmp_path / "cache"))


class Trial:
    """Opens fakes that take a given time, in ms; an error in the place of a time is raised when it is opened."""

    def __init__(self, **cost_ms: float | Exception) -> None:
        self.cost_ms, self.opened, self.calls = cost_ms, 0, 0

    def __call__(self, backend: str, spec: EngineSpec) -> FakeEngine:
        cost = self.cost_ms[backend]
        if isinstance(cost, Exception):
            raise cost
        self.opened += 1

        def run(crops: Any, mask: Any) -> dict[str, Any]:
            self.calls += 1
            end = time.perf_counter() + cost / 1e3
            while time.perf_counter() < end:
                pass
            return {"mean": crops.mean(axis=(1, 2, 3)) + mask.mean(axis=(1, 2, 3))}
        return FakeEngine(spec, run)


def chosen(trial: Trial, installed: tuple[str, ...] = BOTH, specs: tuple[EngineSpec, ...] = SPECS,
           threads: int = 2, precision: str = "auto") -> Choice:
    return choose(installed, specs, threads=threads, precision=precision, open_on=trial)


@pytest.mark.parametrize(("onnx_ms", "openvino_ms", "backend", "why"), [
    (2.0, 0.5, "openvino", "fastest in a trial of eyes"), (0.5, 2.0, "onnx", "fastest in a trial of eyes"),
    (2.0, 1.92, "onnx", "the default, no other is 10% faster"),
])
def test_the_fastest_is_taken_and_a_small_lead_counts_for_nothing(onnx_ms: float, openvino_ms: float, backend: str,
                                                                  why: str) -> None:
    choice = chosen(Trial(onnx=onnx_ms, openvino=openvino_ms))
    assert choice.backend == backend and choice.reason.startswith(why)
    assert choice.times_ms["onnx"] >= onnx_ms and "with 2 threads" in choice.reason
    assert str(choice) == f"{backend}: {choice.reason}"


def test_a_trial_is_kept_until_something_it_depends_on_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(onnx=1.0, openvino=0.2)
    first = chosen(trial)
    assert trial.opened == 2
    assert chosen(trial) == first and trial.opened == 2
    other = EngineSpec("eyes", "compact", SPECS[0].inputs, SPECS[0].outputs, sha256="cd")
    for change in ({"threads": 1}, {"precision": "f32"}, {"specs": (other,)}):
        opened = trial.opened
        chosen(trial, **change)  # type: ignore[arg-type]
        assert trial.opened == opened + 2, change
    monkeypatch.setattr("rtface.inference.probe.version", lambda package: "99.0")
    chosen(trial)
    assert trial.opened == 10
    monkeypatch.setattr("rtface.inference.probe.processor_name", lambda: "another one")
    chosen(trial)
    assert trial.opened == 12
    assert len(list(paths.cache().iterdir())) == 6, "one file each, nothing temporary left"


def test_a_trial_on_a_busy_machine_is_said_to_be_one_and_kept_for_a_day() -> None:
    trial, slow = Trial(onnx=0.3, openvino=0.1), iter(range(1_000_000))

    def mostly_slow(backend: str, spec: EngineSpec) -> FakeEngine:
        inner = trial(backend, spec)

        def run(**inputs: Any) -> dict[str, Any]:
            time.sleep(0.003 * (next(slow) % 4 > 0))
            return inner.run(**inputs)
        return FakeEngine(spec, run)

    choice = choose(BOTH, SPECS, threads=2, precision="auto", open_on=mostly_slow)
    assert choice.reason.endswith("while the machine was busy") and chosen(trial) == choice and trial.opened == 2
    (path,) = paths.cache().iterdir()
    os.utime(path, (time.time() - 90_000,) * 2)
    chosen(trial)
    assert trial.opened == 4


def test_one_backend_alone_needs_no_trial() -> None:
    trial = Trial()
    choice = chosen(trial, ("onnx",))
    assert choice.backend == "onnx" and "only backend to try" in choice.reason and "rtface[openvino]" in choice.reason
    assert chosen(trial, ("openvino",)).backend == "openvino"
    assert chosen(trial, ("torch", "openvino")).backend == "openvino"
    assert chosen(trial, ()).backend == "onnx"
    assert trial.calls == 0 and not paths.cache().exists()


@pytest.mark.parametrize("damage", [
    b"", b"\xff\xfe", b"[]", b"null", b"{", b"[" * 50_000, b'{"key": 1}', b'{"times_ms": {}}',
])
def test_a_damaged_cache_only_means_another_trial(damage: bytes) -> None:
    trial = Trial(onnx=1.0, openvino=0.2)
    chosen(trial)
    (path,) = paths.cache().iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert chosen(trial).backend == "openvino" and trial.opened == 4
    assert json.loads(path.read_bytes())["key"] == json.loads(whole)["key"], "it is written anew"


def _without_times(stored: dict[str, Any]) -> None:
    stored["times_ms"] = {}


def _not_a_time(stored: dict[str, Any]) -> None:
    stored["times_ms"]["openvino"] = float("nan")


def _negative(stored: dict[str, Any]) -> None:
    stored["times_ms"]["openvino"] = -1.0


def _unknown_backend(stored: dict[str, Any]) -> None:
    stored["times_ms"] = {"rm -rf": 0.1}


def _other_key(stored: dict[str, Any]) -> None:
    stored["key"]["cpu"] = "elsewhere"


@pytest.mark.parametrize("tamper", [_without_times, _not_a_time, _negative, _unknown_backend, _other_key])
def test_a_cache_that_was_tampered_with_is_not_believed(tamper: Callable[[dict[str, Any]], None]) -> None:
    trial = Trial(onnx=1.0, openvino=0.2)
    chosen(trial)
    (path,) = paths.cache().iterdir()
    stored = json.loads(path.read_bytes())
    tamper(stored)
    path.write_text(json.dumps(stored))
    assert chosen(trial).backend == "openvino" and trial.opened == 4


def test_a_cache_that_cannot_be_written_never_breaks_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    trial = Trial(onnx=1.0, openvino=0.2)
    assert chosen(trial).backend == "openvino" and chosen(trial).backend == "openvino"
    assert trial.opened == 4

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")
    monkeypatch.setattr("rtface.inference.probe.cache", homeless)
    assert chosen(trial).backend == "openvino"


def test_a_folder_in_the_place_of_the_file_never_breaks_a_run() -> None:
    trial = Trial(onnx=1.0, openvino=0.2)
    chosen(trial)
    (path,) = paths.cache().iterdir()
    path.unlink()
    path.mkdir()
    assert chosen(trial).backend == "openvino"
    assert [p.name for p in paths.cache().iterdir()] == [path.name], "no temporary file is left"


def test_a_backend_that_does_not_work_is_left_out_and_named() -> None:
    broken = BackendError("openvino: got no\n plugin")
    choice = chosen(Trial(onnx=1.0, openvino=broken))
    assert choice.backend == "onnx" and "openvino does not work here: openvino: got no plugin" in choice.reason
    assert chosen(Trial(onnx=BackendError("no onnx"), openvino=1.0), threads=3).backend == "openvino"
    nothing = chosen(Trial(onnx=broken, openvino=broken), threads=4)
    assert nothing.backend == "onnx" and not nothing.times_ms
    assert len(list(paths.cache().iterdir())) == 2, "a trial without a result is not kept"


def test_a_trial_of_slow_networks_ends_early() -> None:
    trial = Trial(onnx=60.0, openvino=60.0)
    chosen(trial)
    assert trial.calls == 2 * (1 + 3) < 2 * (1 + ROUNDS) and 3 * 2 * 0.06 > BUDGET_S


def test_a_busy_moment_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour takes the CPU during most calls; the fastest calls still tell the backends apart."""
    trial, busy = Trial(onnx=0.2, openvino=1.0), np.random.default_rng(3)
    plain = trial.__call__

    def disturbed(backend: str, spec: EngineSpec) -> FakeEngine:
        inner = plain(backend, spec)

        def run(**inputs: Any) -> dict[str, Any]:
            if busy.random() < 0.6:
                time.sleep(0.008)
            return inner.run(**inputs)
        return FakeEngine(spec, run)
    assert choose(BOTH, SPECS, threads=1, precision="f32", open_on=disturbed).backend == "onnx"


def test_example_inputs_fit_the_specification() -> None:
    spec = EngineSpec("any", "compact", (TensorSpec("image", (1, 3, "H", "W")), TensorSpec("mask", ("N", 1, 8, 8))), ())
    inputs = example_inputs(spec, batch=2, free_side=64)
    assert spec.check_inputs(inputs) == {"H": 64, "W": 64, "N": 2}
    assert all(0 <= array.min() and array.max() < 1 for array in inputs.values())


def test_the_shipped_networks_are_tried_in_well_under_a_second() -> None:
    """Once a machine: opening two networks on every backend, and a few calls of each."""
    pytest.importorskip("openvino")
    choose_backend(threads=1)  # libraries are loaded, files are in the system's cache
    for path in paths.cache().iterdir():
        path.unlink()
    spent = time.process_time()
    choice = choose_backend(threads=1)
    spent = time.process_time() - spent
    assert set(choice.times_ms) == {"onnx", "openvino"} and choice.backend in choice.times_ms
    assert spent < 3.0, "CPU seconds, for machines several times slower than the one of docs/backends.md"
    start = time.perf_counter()
    with open_engine("landmarks", threads=1) as engine:
        assert engine.backend.startswith(choice.backend)
    assert time.perf_counter() - start < 5.0


def test_an_asked_for_backend_is_not_argued_with() -> None:
    choice = choose_backend(backend="onnx")
    assert choice == Choice("onnx", "asked for", {}) and not paths.cache().exists()


L4, BUILT = ("NVIDIA L4, driver 580.65",), {"tensorrt": "a1"}
EVERYTHING = ("onnx", "openvino", "torch", "tensorrt", "rtx")


def on_a_gpu(trial: Trial, installed: tuple[str, ...] = EVERYTHING, gpus: tuple[str, ...] = L4,
             compiled: dict[str, str] = BUILT, precision: str = "auto") -> Choice:
    return choose(installed, SPECS, threads=1, precision=precision, open_on=trial, gpus=gpus, compiled=compiled)


def test_a_gpu_brings_torch_and_compiled_engines_into_the_trial() -> None:
    trial = Trial(onnx=1.2, openvino=1.0, torch=0.6, tensorrt=0.2, rtx=BackendError("never"))
    choice = on_a_gpu(trial)
    assert choice.backend == "tensorrt" and choice.times_ms.keys() == {"onnx", "openvino", "torch", "tensorrt"}
    assert "rtx has no engines yet: python -m build_engines --all --flavour rtx" in choice.reason
    assert on_a_gpu(trial) == choice and trial.opened == 4
    assert on_a_gpu(trial, compiled={}).backend == "torch"


def test_new_engines_or_another_gpu_are_another_trial() -> None:
    trial = Trial(onnx=0.5, tensorrt=0.1)
    installed = ("onnx", "tensorrt")
    assert on_a_gpu(trial, installed, compiled={}).backend == "onnx" and trial.opened == 0
    on_a_gpu(trial, installed)
    on_a_gpu(trial, installed, compiled={"tensorrt": "b2"})
    on_a_gpu(trial, installed, gpus=("NVIDIA H200, driver 1",))
    assert trial.opened == 6


def test_what_is_for_gpus_is_left_alone_without_one_and_for_int8() -> None:
    trial = Trial(onnx=1.0, openvino=0.2)
    assert on_a_gpu(trial, gpus=()).backend == "openvino"
    choice = on_a_gpu(trial, precision="int8")
    assert choice.backend == "openvino" and "engines" not in choice.reason
    assert "pip install 'rtface[gpu]'" in on_a_gpu(trial, ("onnx",)).reason


def test_an_engine_that_does_not_run_here_is_named_and_left_out() -> None:
    choice = on_a_gpu(Trial(onnx=1.0, openvino=0.9, torch=BackendError("torch: no kernel"),
                            tensorrt=BackendError("engine of eyes: got none for this GPU")))
    assert choice.backend in BOTH and "tensorrt does not work here: engine of eyes" in choice.reason


def test_choosing_looks_for_gpus_and_for_engines_of_every_network(monkeypatch: pytest.MonkeyPatch,
                                                                 tmp_path: Path) -> None:
    """The whole way but the GPU: shipped networks, an engine for each of them but one, then for all."""
    from rtface.inference import engine, shipped_specs
    from tests.inference.engine_files import write_engine

    monkeypatch.setenv("RTFACE_ENGINES", str(tmp_path))
    monkeypatch.setattr(engine, "nvidia_gpus", lambda: L4)
    monkeypatch.setattr(engine, "available_backends", lambda: ("onnx", "tensorrt"))
    specs = [spec for spec in shipped_specs() if spec.profile == "compact"]
    for spec in specs[1:]:
        write_engine(tmp_path, name=spec.name, weights=spec.sha256)
    assert "tensorrt has no engines yet" in choose_backend().reason
    write_engine(tmp_path, name=specs[0].name, weights=specs[0].sha256)
    opened: list[str] = []
    monkeypatch.setattr(engine, "_open", lambda backend, spec, threads, precision: opened.append(backend)
                        or FakeEngine(spec, lambda **inputs: dict(spec.empty_outputs({"N": 1}))))
    assert choose_backend().times_ms.keys() == {"onnx", "tensorrt"} and opened.count("tensorrt") == 2
