"""Compiled engines: finding, refusing and running them, on a fake GPU; the real one in test_tensorrt_gpu.py."""

from __future__ import annotations

import gc
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtface.config import PipelineConfig
from rtface.errors import BackendError, InputError, ModelFileError
from rtface.inference import EngineSpec, available_backends, nvidia, open_engine
from rtface.inference import tensorrt as backend
from rtface.inference.manifest import build_command
from rtface.inference.tensorrt import MAX_SHAPES, TensorRtEngine
from rtface.inference.timing import TellsTimes
from rtface.pipeline import Pipeline
from tests.inference.engine_files import SPEC, write_engine
from tests.inference.fake_nvidia import CudaError, FakeCuda, FakeTensorRt


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A fake GPU of compute capability 8.6 with both flavours installed."""
    made = FakeCuda()
    modules = {flavour: FakeTensorRt(made) for flavour in ("tensorrt", "rtx")}
    logs = {flavour: nvidia.TrtLog(module) for flavour, module in modules.items()}
    monkeypatch.setattr(backend, "tensorrt_module", modules.__getitem__)
    monkeypatch.setattr(backend, "trt_log", logs.__getitem__)
    for module in (backend, nvidia):
        monkeypatch.setattr(module, "cuda_runtime", lambda: made)
    monkeypatch.setattr(made, "modules", modules, raising=False)
    return made


def inputs(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"crops": rng.random((count, 3, 4, 4), np.float32), "mask": rng.random((count, 1, 4, 4), np.float32)}


def expected(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    mean = sum(array.mean(axis=(1, 2, 3)) for array in feed.values())
    return {"mean": np.stack([mean, mean], 1), "more": mean + 1}


def engine_of(folder: Path, flavour: str = "tensorrt", **options: Any) -> TensorRtEngine:
    return TensorRtEngine(SPEC, flavour=flavour, folder=folder, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("flavour", ["tensorrt", "rtx"])
def test_answers_are_the_same_with_and_without_a_cuda_graph(tmp_path: Path, cuda: FakeCuda, flavour: str,
                                                            graph: bool) -> None:
    write_engine(tmp_path, flavour=flavour, sm="sm86" if flavour == "tensorrt" else "any")
    with engine_of(tmp_path, flavour, graph=graph) as engine:
        assert engine.backend == f"{flavour} 9.9.9 sm86 fp16" and engine.spec is SPEC
        for seed, count in enumerate((2, 2, 1, 2, 4, 1, 2, 0)):
            feed = inputs(count, seed)
            got = engine.run(**feed)
            for name, value in expected(feed).items():
                np.testing.assert_allclose(got[name], value, rtol=1e-6)
        assert cuda.synchronised
    assert cuda.counts.get("cudaGraphLaunch", 0) == (4 if graph else 0)


@pytest.mark.parametrize("graph", [True, False])
def test_the_device_s_time_is_told_apart(tmp_path: Path, cuda: FakeCuda, graph: bool) -> None:
    write_engine(tmp_path)
    with engine_of(tmp_path, graph=graph) as engine:
        assert isinstance(engine, TellsTimes)
        assert set(engine.times_ms()) == {"enqueue", "h2d", "compute", "d2h"} and not any(engine.times_ms().values())
        for count, pieces in ((2, 1), (2, 1), (2, 1), (9, 3), (1, 1)):  # two inputs, two outputs; four faces at most
            engine.run(**inputs(count))
            times = dict(engine.times_ms())
            assert 0 < times.pop("enqueue") < 1000
            assert times == pytest.approx({"h2d": 0.5 * pieces, "compute": 2.0 * pieces, "d2h": 0.5 * pieces})


def test_memory_is_allocated_once_and_all_of_it_is_freed(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path)
    engine = engine_of(tmp_path)
    addresses = engine.addresses
    made = cuda.counts["cudaMalloc"]
    for count in (1, 4, 2, 4):
        engine.run(**inputs(count))
    assert cuda.counts["cudaMalloc"] == made == len(addresses) == 4 and engine.addresses == addresses
    assert len(cuda.held[addresses["crops"]]) == 4 * 4 * 3 * 4 * 4  # four faces at most
    engine.close()
    engine.close()
    assert not cuda.held
    with pytest.raises(BackendError, match="after close"):
        engine.run(**inputs(1))


def test_an_engine_that_is_forgotten_frees_its_memory(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path)
    engine_of(tmp_path).run(**inputs(1))
    gc.collect()
    assert not cuda.held


def test_results_belong_to_the_caller(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path)
    with engine_of(tmp_path) as engine:
        first = engine.run(**inputs(2, 1))["mean"]
        engine.run(**inputs(2, 2))
        engine.run(**inputs(2, 3))
    np.testing.assert_allclose(first, expected(inputs(2, 1))["mean"], rtol=1e-6)


def test_batches_beyond_the_engine_run_in_pieces(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path)
    with engine_of(tmp_path) as engine:
        got = engine.run(**inputs(11))
    assert got["more"].shape == (11,)
    np.testing.assert_allclose(got["mean"], expected(inputs(11))["mean"], rtol=1e-6)


def test_many_shapes_keep_a_bounded_number_of_graphs(tmp_path: Path, cuda: FakeCuda,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_SHAPES >= 8
    monkeypatch.setattr(backend, "MAX_SHAPES", 2)
    write_engine(tmp_path)
    with engine_of(tmp_path) as engine:
        for count in (1, 2, 3, 4, 1, 2, 3, 4):
            feed = inputs(count, count)
            np.testing.assert_allclose(engine.run(**feed)["mean"], expected(feed)["mean"], rtol=1e-6)
        assert sum(isinstance(value, list) for value in cuda.held.values()) == 2
    assert not cuda.held


def test_work_can_be_put_on_another_stream(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path)
    feed = inputs(3)
    with engine_of(tmp_path) as engine:
        _, stream = cuda.cudaStreamCreateWithFlags(1)
        for name, array in feed.items():
            cuda.held[engine.addresses[name]][:array.nbytes] = array.tobytes()
        shapes = engine.enqueue({name: array.shape for name, array in feed.items()}, stream)
        assert shapes["mean"] == (3, 2)
        mean = np.frombuffer(bytes(cuda.held[engine.addresses["mean"]]), np.float32)[:6].reshape(3, 2)
        np.testing.assert_allclose(mean, expected(feed)["mean"], rtol=1e-6)
        cuda.cudaStreamDestroy(stream)


def test_what_cannot_be_captured_runs_without_a_graph(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path, flavour="rtx", sm="any", uncapturable=True)
    with engine_of(tmp_path, "rtx") as engine:
        for seed in range(3):
            np.testing.assert_allclose(engine.run(**inputs(2, seed))["mean"], expected(inputs(2, seed))["mean"],
                                       rtol=1e-6)
    assert "cudaGraphLaunch" not in cuda.counts


def test_compiled_kernels_are_kept_beside_an_rtx_engine(tmp_path: Path, cuda: FakeCuda) -> None:
    cache = write_engine(tmp_path, flavour="rtx", sm="any").with_suffix(".cache")
    with engine_of(tmp_path, "rtx") as engine:
        engine.run(**inputs(1))
    assert cache.read_bytes() == b"kernels"
    with engine_of(tmp_path, "rtx") as engine:
        engine.run(**inputs(1))
    assert cache.read_bytes() == b"kernelskernels"  # what was kept was loaded
    cache.chmod(0o666)
    with pytest.raises(BackendError, match=r"chmod go-w .*cache"):
        engine_of(tmp_path, "rtx")
    assert not cuda.held


def test_wrong_inputs_are_told(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path)
    with engine_of(tmp_path) as engine:
        with pytest.raises(InputError, match=r"got inputs \['crops'\]"):
            engine.run(crops=np.zeros((1, 3, 4, 4), np.float32))
        with pytest.raises(InputError, match=r"expected shapes within one of .*--batch"):
            engine.enqueue({"crops": (9, 3, 4, 4), "mask": (9, 1, 4, 4)}, 0)


@pytest.mark.parametrize(("content", "message"), [
    ({"refused": True}, r"TensorRT refuses the engine \(ERROR: version tag.*build it again with: python -m"),
    ({"no_context": True}, r"no execution context \(ERROR: out of memory\).*smaller --batch"),
    ({"dtype": "float16"}, "got inputs .*float16.*expected .*float32"),
    ({"outputs": {"mean": ["N", 3], "more": ["N"]}}, "got outputs"),
], ids=("refused", "memory", "dtype", "shape"))
def test_engines_that_do_not_load_are_told_and_leave_nothing(tmp_path: Path, cuda: FakeCuda, content: dict[str, Any],
                                                             message: str) -> None:
    write_engine(tmp_path, **content)
    with pytest.raises((BackendError, ModelFileError), match=message):
        engine_of(tmp_path)
    assert not cuda.held


def test_a_network_that_fails_while_running_is_told(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path, fails=True)
    with engine_of(tmp_path) as engine, pytest.raises(BackendError, match="failed: ERROR: illegal memory access"):
        engine.run(**inputs(1))


@pytest.mark.parametrize(("function", "error", "message"), [
    ("cudaGetDeviceCount", CudaError.cudaErrorNoDevice, "no NVIDIA GPU here: use --backend auto"),
    ("cudaGetDeviceCount", CudaError.cudaErrorInsufficientDriver, "driver is missing or too old"),
    ("cudaMalloc", CudaError.cudaErrorMemoryAllocation, "memory is full.*smaller --batch"),
    ("cudaStreamCreateWithFlags", CudaError.cudaErrorLaunchFailure, "start the program again"),
])
def test_cuda_errors_at_the_start_say_how_to_mend_them(tmp_path: Path, cuda: FakeCuda, function: str,
                                                       error: CudaError, message: str) -> None:
    write_engine(tmp_path)
    cuda.fails[function] = error
    with pytest.raises(BackendError, match=rf"{function}: CUDA says {error.name} .*{message}"):
        engine_of(tmp_path)
    assert not cuda.held


@pytest.mark.parametrize("function", ["cudaMemcpyAsync", "cudaStreamSynchronize", "cudaStreamBeginCapture",
                                      "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphLaunch"])
def test_cuda_errors_while_running_are_told(tmp_path: Path, cuda: FakeCuda, function: str) -> None:
    write_engine(tmp_path)
    engine = engine_of(tmp_path)
    cuda.fails[function] = CudaError.cudaErrorLaunchFailure
    with pytest.raises(BackendError, match=function):
        for _ in range(2):
            engine.run(**inputs(1))
    cuda.fails.clear()
    engine.close()
    assert not cuda.held


@pytest.mark.parametrize(("change", "reason"), [
    ({"version": "9.9.8"}, "built by tensorrt 9.9.8, this is 9.9.9"),
    ({"sm": "sm89"}, "built for sm89, this GPU is sm86"),
    ({"weights": "cd" * 32}, "built from other weights"),
])
def test_stale_and_foreign_engines_are_refused_with_the_command(tmp_path: Path, cuda: FakeCuda, change: dict[str, str],
                                                                reason: str) -> None:
    write_engine(tmp_path, **change)  # type: ignore[arg-type]
    with pytest.raises(ModelFileError, match=rf"{reason}.*build it here with: python -m build_engines tiny --flavour "
                                             rf"tensorrt --precision fp16 --batch 1:4:8 --profile compact"):
        engine_of(tmp_path)


def test_a_missing_engine_names_the_command(tmp_path: Path, cuda: FakeCuda) -> None:
    with pytest.raises(ModelFileError, match=r"got none in .*compute capability 8.6, rtx 9.9.9.*--flavour rtx"):
        engine_of(tmp_path / "nowhere", "rtx")


def test_precision_picks_the_engine(tmp_path: Path, cuda: FakeCuda) -> None:
    write_engine(tmp_path, precision="fp32")
    with engine_of(tmp_path) as engine:
        assert engine.backend.endswith("fp32")
    write_engine(tmp_path)
    with engine_of(tmp_path) as engine:
        assert engine.backend.endswith("fp16")
    with engine_of(tmp_path, precision="f32") as engine:
        assert engine.backend.endswith("fp32")


@pytest.mark.parametrize("damage", ["truncated", "altered", "gone"])
def test_damaged_engines_never_reach_tensorrt(tmp_path: Path, cuda: FakeCuda, damage: str) -> None:
    engine = write_engine(tmp_path).with_suffix(".engine")
    content = bytearray(engine.read_bytes())
    if damage == "gone":
        engine.unlink()
    else:
        content[5] ^= 1
        engine.write_bytes(content if damage == "altered" else content[:40])
    with pytest.raises(ModelFileError, match=r"build it again with: python -m build_engines tiny .*--rebuild"):
        engine_of(tmp_path)
    assert not cuda.modules["tensorrt"].engines  # type: ignore[attr-defined]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no POSIX users")
@pytest.mark.parametrize("part", ["folder", "json", "engine"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_engines_that_others_may_write_are_not_loaded(tmp_path: Path, cuda: FakeCuda, part: str, mode: int) -> None:
    manifest = write_engine(tmp_path)
    path = {"folder": tmp_path, "json": manifest, "engine": manifest.with_suffix(".engine")}[part]
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(BackendError, match=rf"nobody else may write there.*chmod go-w {path}"):
        engine_of(tmp_path)
    assert not cuda.modules["tensorrt"].engines  # type: ignore[attr-defined]


def test_engines_of_another_user_are_not_loaded(tmp_path: Path, cuda: FakeCuda,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    write_engine(tmp_path)
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner:  # root's files are the administrator's
        with pytest.raises(BackendError, match=f"got a path of user {owner}, expected one of user {owner + 1}"):
            engine_of(tmp_path)
    else:
        engine_of(tmp_path).close()


def test_a_missing_engine_is_built_when_asked_for(tmp_path: Path, cuda: FakeCuda,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def build(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        write_engine(tmp_path)
        return subprocess.CompletedProcess(command, 0, "", "")
    monkeypatch.setattr(backend.subprocess, "run", build)
    with engine_of(tmp_path, rebuild=True) as engine:
        assert engine.backend == "tensorrt 9.9.9 sm86 fp16"
    assert asked[0][1:] == [*build_command("tiny", "compact", "tensorrt", folder=tmp_path).split()[1:], "--rebuild"]


def test_a_build_that_fails_says_why(tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.subprocess, "run",
                        lambda command, **_: subprocess.CompletedProcess(command, 1, "", "error: disk full"))
    with pytest.raises(BackendError, match="could not be built: error: disk full.*try it by hand: python -m"):
        engine_of(tmp_path, rebuild=True)


@pytest.mark.parametrize("name", ["tensorrt", "rtx"])
def test_a_run_asks_for_engines_as_it_is_configured(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def start(spec: EngineSpec, **options: Any) -> None:
        asked.append((spec.name, options))
        raise BackendError("far enough")
    monkeypatch.setattr(backend, "TensorRtEngine", start)
    monkeypatch.setattr("rtface.inference.engine.available_backends", lambda: ("onnx", "tensorrt", "rtx"))
    with pytest.raises(BackendError, match="far enough"):
        Pipeline(PipelineConfig(backend=name, precision="f32", rebuild_engines=True, meshes=False))
    assert asked == [("detector", {"flavour": name, "precision": "f32", "rebuild": True})]
    with pytest.raises(InputError, match="rebuild_engines: got 'yes'"):
        PipelineConfig(rebuild_engines="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(("flavour", "command"), [("tensorrt", r"rtface\[gpu\]"), ("rtx", r"rtface\[rtx\]")])
def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch, flavour: Any, command: str) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")
    monkeypatch.setattr(nvidia.importlib, "import_module", missing)
    with pytest.raises(BackendError, match=f"backend {flavour}: got No module.*pip install '{command}'"):
        nvidia.tensorrt_module(flavour)


def test_without_a_driver_the_real_packages_say_so() -> None:
    """cuda-python and TensorRT for RTX are in the dev extra; a machine without a driver is what is tested here."""
    from cuda.bindings import runtime
    if int(runtime.cudaGetDeviceCount()[0]) == 0:
        assert nvidia.gpu_capability() >= 50
        return
    assert "rtx" in available_backends()
    with pytest.raises(BackendError, match=r"CUDA says .*use --backend auto"):
        open_engine("landmarks", backend="rtx")
