"""``--backend auto``: which of the installed backends is the fastest here.

A short trial runs two networks of the chain on every installed backend in turns, and its times are kept in
:func:`rtface.paths.cache` under a key of CPU, cores, threads, precision, package versions and networks: whatever
changes one of them makes a new trial. Where one backend alone is installed there is nothing to try. One backend is
taken for all networks: mixing them gains less than a second trial of every network costs (docs/backends.md).

Where the driver knows an NVIDIA GPU, TensorRT takes part with the engines that were built for all networks, and torch;
the key then has the GPUs, their driver and the engines too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from rtface.errors import RtfaceError
from rtface.inference.spec import EngineSpec
from rtface.inference.threads import physical_cores
from rtface.machine import processor_name
from rtface.paths import cache
from rtface.types import Array

PACKAGES: Final[Mapping[str, str]] = {"onnx": "onnxruntime", "openvino": "openvino"}
"""Backends that are tried on every machine, and their packages; the first one is the default."""
GPU_PACKAGES: Final[Mapping[str, str]] = {"tensorrt": "tensorrt", "rtx": "tensorrt-rtx-cu13-bindings", "torch": "torch"}
"""Those that are tried where there is a GPU. On a CPU torch is slower than the others, the rest does not run there."""
_ALL: Final = {**PACKAGES, **GPU_PACKAGES}
DEFAULT: Final = "onnx"
PROBED: Final = ("landmarks", "segment")
"""Networks of the trial: the two kinds, picture → numbers and picture → picture, which every frame needs."""
WORTH: Final = 0.9
"""Another backend than the default is taken when it needs less than this share of its time: noise decides nothing,
and opening a network on OpenVINO takes four times as long."""
ROUNDS: Final = 12
SWEPT: Final = 1 << 20
"""Numbers (4 MB) that are written between two calls."""
BUDGET_S: Final = 0.3
"""Of all calls; after three rounds the trial ends when it is spent."""
BUSY: Final = 1.5
"""A median of this many times the fastest call: something else runs on this machine, and the trial is soon stale."""
STALE_S: Final = 86_400.0
"""A trial on a busy machine is kept for a day."""
MAX_CACHE_BYTES: Final = 1 << 16
_VERSION: Final = 2
"""Of the trial; another one makes all kept times void."""

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, and why it was taken."""

    backend: str
    reason: str
    times_ms: Mapping[str, float]
    """Per backend that was tried, the sum of its fastest calls; empty without a trial."""

    def __str__(self) -> str:
        return f"{self.backend}: {self.reason}"


def choose(installed: Sequence[str], specs: Sequence[EngineSpec], *, threads: int, precision: str,
           open_on: Callable[[str, EngineSpec], Any], gpus: Sequence[str] = (),
           compiled: Mapping[str, str] | None = None) -> Choice:
    """The fastest of the installed backends for some networks.

    open_on(backend, spec): an engine, a context manager. No trial and no cache can make it fail: a backend that does
    not work is left out, and when none works the default is returned, whose error the caller then meets.
    gpus: what :func:`.gpus.nvidia_gpus` found. compiled: what tells the engines of a flavour of TensorRT from others,
    for flavours of which every network that may be opened has one.
    """
    candidates, hint, compiled = [name for name in PACKAGES if name in installed], "", compiled or {}
    if gpus and precision != "int8":
        wanted = [name for name in GPU_PACKAGES if name in installed]
        candidates += [name for name in wanted if name == "torch" or name in compiled]
        hint = "".join(f"; {name} has no engines yet: python -m build_engines --all --flavour {name}"
                       for name in wanted if name not in candidates)
        if not wanted:
            hint = f"; pip install 'rtface[gpu]' brings TensorRT for the {gpus[0]}"
    if len(candidates) < 2:
        other = "" if "openvino" in candidates else "; pip install 'rtface[openvino]' brings another one to try"
        return Choice(candidates[0] if candidates else DEFAULT, f"the only backend to try here{other}{hint}", {})
    key = {"trial": _VERSION, "cpu": processor_name(), "cores": physical_cores(), "threads": threads,
           "precision": precision, "packages": {name: _version(_ALL[name]) for name in candidates},
           "networks": {f"{spec.name}.{spec.profile}": spec.sha256 for spec in specs}, "gpus": list(gpus),
           "compiled": {name: compiled[name] for name in candidates if name in compiled}}
    kept = _read(key)
    if kept is None:
        kept = {**try_backends(candidates, specs, open_on), "measured": time.strftime("%Y-%m-%d")}
        if kept["times_ms"]:
            _write(key, kept)
    choice = _decide(kept, [spec.name for spec in specs], threads)
    return replace(choice, reason=choice.reason + hint)


def _decide(kept: Mapping[str, Any], names: Sequence[str], threads: int) -> Choice:
    times: Mapping[str, float] = kept["times_ms"]
    failed = "".join(f"; {name} does not work here: {why}" for name, why in kept["failures"].items())
    if not times:
        return Choice(DEFAULT, f"the default, no backend passed its trial{failed}", {})
    fastest = min(times, key=lambda name: times[name])
    if DEFAULT in times and times[fastest] > WORTH * times[DEFAULT]:
        fastest = DEFAULT
    what = "fastest" if fastest == min(times, key=lambda name: times[name]) else \
        f"the default, no other is {1 - WORTH:.0%} faster"
    listed = ", ".join(f"{name} {ms:.2f} ms" for name, ms in times.items())
    busy = " while the machine was busy" if kept["busy"] else ""
    return Choice(fastest, f"{what} in a trial of {' + '.join(names)}: {listed} with {threads} "
                           f"thread{'s' * (threads > 1)}, on {kept['measured']}{busy}{failed}", times)


def try_backends(backends: Sequence[str], specs: Sequence[EngineSpec],
                 open_on: Callable[[str, EngineSpec], Any]) -> dict[str, Any]:
    """``times_ms`` per backend, ``failures``: the cause per backend that failed, ``busy``. Engines are closed again.

    Backends take turns, and the fastest call of each network counts: what else the machine does can only add to a
    call, and seldom to all of them. Before each call some memory is written to, as other stages do in a run: a network
    that is called again and again finds its weights in the CPU's caches, and then other backends win than in a run.
    """
    calls: dict[str, list[Call]] = {}
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        with ThreadPoolExecutor(max_workers=2) as pool:  # opening takes longer than all calls
            opening = {backend: [pool.submit(open_on, backend, spec) for spec in specs] for backend in backends}
        for backend, futures in opening.items():
            try:
                for future, spec in zip(futures, specs, strict=True):
                    engine = stack.enter_context(future.result())
                    calls.setdefault(backend, []).append(_call(engine, example_inputs(spec)))
                    calls[backend][-1]()
            except RtfaceError as exc:
                calls.pop(backend, None)
                failures[backend] = " ".join(str(exc).split())
        spent: dict[str, list[list[float]]] = {backend: [[] for _ in specs] for backend in calls}
        between = np.zeros(SWEPT, np.float32)
        begin = time.perf_counter()
        for turn in range(ROUNDS):
            if turn >= 3 and time.perf_counter() - begin > BUDGET_S:
                break
            for backend in (list(calls) if turn % 2 else list(calls)[::-1]):
                for k, call in enumerate(calls[backend]):
                    between += 1
                    start = time.perf_counter()
                    call()
                    spent[backend][k].append((time.perf_counter() - start) * 1e3)
    return {"times_ms": {backend: round(sum(min(some) for some in times), 4) for backend, times in spent.items()},
            "busy": any(np.median(some) > BUSY * min(some) for times in spent.values() for some in times),
            "failures": failures}


def _call(engine: Any, inputs: Mapping[str, Array]) -> Call:
    return lambda: engine.run(**inputs)


def example_inputs(spec: EngineSpec, *, batch: int = 1, free_side: int = 256) -> dict[str, Array]:
    """Noise of 0..1 for every input; the letter N becomes ``batch``, all others ``free_side``."""
    rng = np.random.default_rng(0)
    sizes = {"N": batch}
    return {tensor.name: rng.random([sizes.get(side, free_side) if isinstance(side, str) else side
                                     for side in tensor.shape]).astype(tensor.dtype) for tensor in spec.inputs}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _path(key: Mapping[str, Any]) -> Path:
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache() / f"backends-{name}.json"


def _read(key: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an earlier trial with this key found; None when there was none or its file is not sound."""
    try:
        with _path(key).open("rb") as file:
            stored = json.loads(file.read(MAX_CACHE_BYTES))
            age_s = time.time() - os.fstat(file.fileno()).st_mtime
        times, failures = stored["times_ms"], stored["failures"]
        sound = (stored["key"] == key and stored["busy"] in (False, True) and not (stored["busy"] and age_s > STALE_S)
                 and isinstance(stored["measured"], str) and times.keys() <= _ALL.keys()
                 and times and failures.keys() <= _ALL.keys()
                 and all(type(ms) in (int, float) and 0 < ms < math.inf for ms in times.values())
                 and all(isinstance(why, str) for why in failures.values()))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):  # RuntimeError: no home, too deep
        return None
    return stored if sound else None


def _write(key: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Keep a trial, atomically; a folder that cannot be written to only means another trial next time."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home folder
        path = _path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".backends-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"key": key, **found}, file, indent=1)
            os.replace(temporary, path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
