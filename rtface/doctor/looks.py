"""All looks at the machine, side by side; a look that fails is a finding, never an error."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from rtface.doctor.finding import Diagnosis, Finding, State
from rtface.doctor.processes import run_bounded

TIMEOUT_S: Final = 60.0
"""Of one look; first imports of large libraries from a cold disk take a while."""
DEVICES: Final = Path("/dev")
REINSTALL: Final = "pip install --force-reinstall rtface"
GPU_ONLY: Final = "only with an NVIDIA GPU: "


@dataclass(frozen=True, slots=True)
class Look:
    """One of :data:`rtface.doctor.child.LOOKS`, and how it is reported."""

    child: str
    name: str
    say: Callable[[Mapping[str, Any]], str]
    install: str
    """When the package is not there."""
    repair: str
    """When it is there and does not work."""
    needed: bool = False


def _codecs(facts: Mapping[str, Any]) -> str:
    lost = [name for name, there in facts["decoders"].items() if not there]
    reads = "reads " + ", ".join(name for name, there in facts["decoders"].items() if there)
    writes = sorted({str(name) for name in facts["encoders"].values() if name})
    return f"{facts['version']}: {reads}{', not ' + ', '.join(lost) if lost else ''}; writes with {', '.join(writes)}"


NETWORKS: Final = Look(
    "networks", "networks", lambda f: f"{f['backend']} runs {', '.join(f['networks'])}; {f['reason']}",
    REINSTALL, "mend what is broken above; then: rtface weights verify", True)
LOOKS: Final = (
    Look("kernels", "kernels", lambda f: "compiled kernels agree with their NumPy twins", REINSTALL, REINSTALL, True),
    Look("onnxruntime", "ONNX Runtime", lambda f: f"{f['version']}, {', '.join(f['providers'])}",
         "pip install onnxruntime", "pip install --force-reinstall onnxruntime"),
    Look("openvino", "OpenVINO", lambda f: f"{f['version']}, CPU computes in {', '.join(f['precisions'])}",
         "pip install 'rtface[openvino]'", "pip install --force-reinstall openvino"),
    Look("torch", "torch", lambda f: f"{f['version']}, " + (", ".join(f["gpus"]) or "no GPU that it can use"),
         "pip install 'rtface[torch]' (training, --backend torch)", "pip install --force-reinstall torch"),
    Look("cuda", "CUDA arrays", lambda f: f"CuPy {f['version']}, CUDA {f['runtime']}, {f['gpus']} GPUs",
         GPU_ONLY + "pip install 'rtface[gpu]'", "nvidia-smi; the driver must be as new as CUDA 13"),
    Look("tensorrt", "TensorRT", lambda f: str(f["version"]), GPU_ONLY + "pip install 'rtface[gpu]'",
         "pip install --force-reinstall tensorrt"),
    Look("tensorrt_rtx", "TensorRT RTX", lambda f: str(f["version"]), GPU_ONLY + "pip install 'rtface[rtx]'",
         "pip install --force-reinstall tensorrt_rtx_cu13_libs tensorrt_rtx_cu13_bindings"),
    Look("opengl", "OpenGL", lambda f: f"{f['renderer']}, {f['version']}", "pip install moderngl",
         "for --overlay and --stages: apt install libegl1 libgl1 libegl-mesa0 libgl1-mesa-dri"),
    Look("codecs", "codecs", _codecs, "pip install av", "pip install --force-reinstall av", True))


def examine(timeout_s: float = TIMEOUT_S) -> Diagnosis:
    """Look at everything. Takes seconds; every look ends within its timeout."""
    here: list[tuple[str, bool, Callable[[], Finding]]] = [
        ("system", False, system), ("processor", False, processor), ("weights", True, weights),
        ("cache", False, cache_folder), ("cameras", False, cameras), ("GPU", False, lambda: gpu(timeout_s))]
    with ThreadPoolExecutor(max_workers=max(2, min(4, os.cpu_count() or 1))) as pool:
        first = [pool.submit(_guarded, name, needed, look) for name, needed, look in here]
        others = [pool.submit(_guarded, look.name, look.needed, partial(in_child, look, timeout_s)) for look in LOOKS]
    last = _guarded(NETWORKS.name, NETWORKS.needed, partial(in_child, NETWORKS, timeout_s))  # alone: it takes times
    return Diagnosis((*(future.result() for future in (*first, *others)), last))


def _guarded(name: str, needed: bool, look: Callable[[], Finding]) -> Finding:
    """Whatever goes wrong in one look must not hide the others."""
    try:
        return look()
    except Exception as exc:  # noqa: BLE001  that is the finding
        return Finding(name, "broken", f"{type(exc).__name__}: {' '.join(str(exc).split())}", needed=needed)


def in_child(look: Look, timeout_s: float) -> Finding:
    """Run a look in a process of its own."""
    def found(state: State, detail: str, fix: str = "", facts: Mapping[str, Any] | None = None) -> Finding:
        return Finding(look.name, state, detail, fix, look.needed, facts or {})

    ended = run_bounded([sys.executable, "-P", "-m", "rtface.doctor.child", look.child], timeout_s)
    if ended.code is None:
        return found("broken", f"no answer within {timeout_s:g} s", look.repair)
    try:
        facts = json.loads(ended.output.splitlines()[-1]) if ended.code == 0 else {}
    except (ValueError, IndexError):
        facts = {}
    if "missing" in facts:
        return found("missing", f"no package {facts['missing']}", look.install)
    if not facts:
        said = (ended.errors.strip().splitlines() or ["nothing was said"])[-1]
        how = f"killed by signal {-ended.code}" if ended.code < 0 else f"failed with exit code {ended.code}"
        return found("broken", f"{how}: {said[:300]}", look.repair)
    try:
        return found("good", look.say(facts), facts=facts)
    except (LookupError, TypeError, AttributeError) as exc:
        return found("broken", f"{type(exc).__name__}: {exc} in {ended.output.splitlines()[-1][:300]}", look.repair)


def system() -> Finding:
    """Python, operating system, rtface."""
    from rtface import __version__

    return Finding("system", "good", f"rtface {__version__}, Python {platform.python_version()}, {platform.platform()}")


def processor() -> Finding:
    """The CPU, its instructions, and the threads that networks take."""
    from rtface.config import PipelineConfig
    from rtface.inference.threads import default_threads, physical_cores
    from rtface.machine import processor_features, processor_name

    features = processor_features()
    known = "instructions unknown" if features is None else " ".join(features) or "none of the fast instructions"
    facts = {"model": processor_name(), "features": features, "cores": physical_cores(),
             "threads": default_threads(PipelineConfig().profile)}
    return Finding("processor", "good", f"{facts['model']}, {facts['cores']} cores for this process, networks take "
                   f"{facts['threads']} thread{'s' * (facts['threads'] != 1)}; {known}", facts=facts)


def weights() -> Finding:
    """Every network and the face basis are whole."""
    from rtface.errors import RtfaceError
    from rtface.inference import read_spec, shipped_names, verify_weights
    from rtface.morphable import MorphableModel

    wrong, names = [], shipped_names()
    for name, profile in names:
        try:
            verify_weights(read_spec(name, profile))
        except RtfaceError as exc:
            wrong.append(" ".join(str(exc).split()))
    try:
        MorphableModel.load(level=0)
    except RtfaceError as exc:
        wrong.append(" ".join(str(exc).split()))
    if wrong or not names:
        return Finding("weights", "broken", "; ".join(wrong) or "there are no networks", REINSTALL, True)
    return Finding("weights", "good", f"{len(names)} networks and the face basis are whole", needed=True,
                   facts={"networks": [".".join(name) for name in names]})


def cache_folder() -> Finding:
    """Trials of backends and built engines can be kept."""
    import tempfile

    from rtface.paths import cache

    folder = cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as exc:
        return Finding("cache", "broken", f"{folder}: {exc.strerror or exc}; trials and engines are not kept",
                       "export RTFACE_CACHE=/a/folder/you/may/write/to", facts={"folder": str(folder)})
    return Finding("cache", "good", str(folder), facts={"folder": str(folder)})


def cameras() -> Finding:
    """Video devices of Linux, and whether this user may open them."""
    found, locked = {}, []
    for device in sorted(DEVICES.glob("video*")):
        try:
            name = Path(f"/sys/class/video4linux/{device.name}/name").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            name = "unnamed"
        found[str(device)] = name
        if not os.access(device, os.R_OK | os.W_OK):
            locked.append(str(device))
    if not found:
        return Finding("cameras", "missing", f"no {DEVICES}/video*", "connect one; in a container: "
                       "docker run --device /dev/video0 …")
    listed = ", ".join(f"{device} ({name})" for device, name in found.items())
    if locked:
        return Finding("cameras", "broken", f"{listed}; no permission for {', '.join(locked)}",
                       "sudo usermod -aG video $USER, then log in again", facts=found)
    return Finding("cameras", "good", listed, facts=found)


def gpu(timeout_s: float) -> Finding:
    """NVIDIA GPUs, as their driver's own tool sees them."""
    query = "name,driver_version,memory.total,compute_cap"
    driver = "install NVIDIA's driver, for instance: apt install nvidia-driver; in a container: docker run --gpus all …"
    try:
        ended = run_bounded(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], timeout_s)
    except OSError:
        return Finding("GPU", "missing", "no nvidia-smi, so no NVIDIA GPU or no driver; rtface runs on the CPU", driver)
    rows = [line.strip() for line in ended.output.splitlines() if line.strip()]
    if ended.code != 0 or not rows:
        said = " ".join((ended.errors or ended.output).split())[:300]
        how = f"no answer within {timeout_s:g} s" if ended.code is None else f"nvidia-smi failed: {said}"
        return Finding("GPU", "broken", how, driver)
    return Finding("GPU", "good", "; ".join(rows), facts={"query": query, "gpus": rows})
