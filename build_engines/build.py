"""Weight file → module → measured precision → typed ONNX → engine and manifest, each file whole or not at all."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnxruntime
import torch
from torch import fx, nn

from build_engines import networks, precision, samples, tasks, typed_onnx, via_torch_tensorrt
from build_engines.plan import Batch, Plan, build_plan, shapes
from rtface.errors import BackendError
from rtface.inference.manifest import FORMAT, Flavour, Manifest, check_owner, manifests, read_manifest, stem
from rtface.inference.nvidia import cuda_runtime, gpu_capability, tensorrt_module
from rtface.inference.spec import EngineSpec, read_spec
from rtface.io.atomic import check_output_folder, output_errors, write_atomic
from rtface.paths import engines

Precision = Literal["fp16", "fp32"]
TIMING_CACHE: Final = "timing.cache"
"""In the engines' folder: what TensorRT measured on this GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be built."""

    flavour: Flavour = "rtx"
    precision: Precision = "fp16"
    profile: str = "compact"
    batch: Batch = (1, 4, 8)
    sm: tuple[int, ...] = ()
    """Compute capabilities, 86 for 8.6; empty: TensorRT's own choice."""
    weights: Path | None = None
    """Folder; None: the shipped weights."""
    out: Path | None = None
    """Folder; None: :func:`rtface.paths.engines`."""
    via: Literal["onnx", "torch-tensorrt"] = "onnx"

    @property
    def folder(self) -> Path:
        """Where engines are written."""
        return engines() if self.out is None else self.out


@dataclass(frozen=True, slots=True)
class Prepared:
    """A network up to the point where a compiler takes over."""

    spec: EngineSpec
    module: nn.Module
    """float32, as stored."""
    graph: fx.GraphModule
    """Traced, batch normalisation folded."""
    precision: precision.Precision
    feeds: list[samples.Feed]
    """Realistic inputs."""
    reference: list[samples.Feed]
    """What the module answers to them in float32."""


def answers(module: Any, spec: EngineSpec, feeds: Sequence[samples.Feed]) -> list[samples.Feed]:
    """Outputs by name of a torch module for inputs by name."""
    out = []
    with torch.no_grad():
        for feed in feeds:
            result = module(*[torch.from_numpy(feed[tensor.name]) for tensor in spec.inputs])
            results = result if isinstance(result, tuple | list) else (result,)
            out.append({t.name: value.float().numpy() for t, value in zip(spec.outputs, results, strict=True)})
    return out


def prepare(spec: EngineSpec, kind: Precision, decided: precision.Precision | None = None) -> Prepared:
    """Load, fold, trace, and decide precision: float32 everywhere for fp32, by the measured rule for fp16.

    Chance answers have no limits: of untrained networks only the range of float16 is looked at, on a few inputs.
    decided: what the rule said before for these weights; it is not asked again.
    """
    module = networks.load_module(spec)
    feeds = samples.realistic(spec, samples.COUNT if is_trained(spec) else 2)
    reference = answers(module, spec, feeds)
    graph = precision.trace(precision.fold_batch_norm(module), networks.examples(spec),
                            networks.free_sizes(spec.inputs))
    if kind == "fp32" or decided is not None:
        return Prepared(spec, module, graph, decided or precision.all_float32(graph), feeds, reference)

    def cost(candidate: Any) -> float:
        if not is_trained(spec):
            return 0.0
        return tasks.worst_share(tasks.compare(spec.name, feeds, reference, answers(candidate, spec, feeds)))

    def everything(candidate: Any) -> None:
        answers(candidate, spec, [*feeds, *(feed for _, feed in samples.extreme(spec) if is_trained(spec))])

    return Prepared(spec, module, graph, precision.decide(graph, cost, everything), feeds, reference)


def decided_before(spec: EngineSpec, order: Order) -> precision.Precision | None:
    """What the rule said when an engine of these weights was built; None when there is none."""
    for manifest in manifests(order.folder, spec.name, spec.profile):
        if (manifest.precision, manifest.weights_sha256) == (order.precision, spec.sha256):
            said = json.loads(manifest.path.read_text())["layers"]
            return precision.Precision(tuple(precision.Layer(**layer) for layer in said["float32"]), said["float16"],
                                       said["share"], said["whole"])
    return None


def is_trained(spec: EngineSpec) -> bool:
    """False for weights of :func:`build_engines.networks.write_untrained`."""
    return not str(spec.training.get("note", "")).startswith("untrained")


def build(name: str, order: Order, *, rebuild: bool = False) -> tuple[Manifest, bool]:
    """Build the engine of a network; its manifest, and whether anything had to be built.

    An engine that is there, whole and of the same weights, versions and options is kept, unless ``rebuild``.
    ModelFileError on missing or damaged weights, BackendError when the compiler is missing or fails, OutputError
    when the folder cannot be written.
    """
    networks.network(name)
    spec = read_spec(name, order.profile, folder=order.weights)
    if not order.folder.exists():
        with output_errors(order.folder):
            order.folder.mkdir(mode=0o755, parents=True)  # whatever the umask: nobody else may write engines
    folder = check_output_folder(order.folder, needed_bytes=64 << 20)
    check_owner(folder)
    if not rebuild and (found := up_to_date(spec, order)) is not None:
        return found, False
    _compiler(order)  # before minutes of work
    with _one_thread():
        made = prepare(spec, order.precision)
        typed = typed_onnx.export(made.graph, made.precision.names, spec)
        parity = onnx_parity(typed.content, made)
    if order.via == "torch-tensorrt":
        plan = via_torch_tensorrt.compile_module(made.graph, made.precision.names, spec, shapes(spec, order.batch))
        flavour, suffix = via_torch_tensorrt.FLAVOUR, via_torch_tensorrt.SUFFIX
    else:
        plan = build_plan(typed.content, spec, flavour=order.flavour, batch=order.batch, sm=order.sm,
                          timing_cache=folder / TIMING_CACHE)
        flavour, suffix = order.flavour, ".engine"
    path = folder / f"{stem(name, order.profile, order.precision, plan.sm, flavour, plan.version)}.json"
    described = _describe(made, order, plan, typed, parity, flavour)
    for old in (path, path.with_suffix(".cache")):
        old.unlink(missing_ok=True)  # an engine without its json is no engine: never a wrong pair
    write_atomic(path.with_suffix(".onnx"), typed.content)
    write_atomic(path.with_suffix(suffix), plan.content)
    write_atomic(path, (json.dumps(described, indent=1) + "\n").encode())
    for file in (path, path.with_suffix(suffix), path.with_suffix(".onnx")):
        file.chmod(0o644)
    return read_manifest(path), True


def up_to_date(spec: EngineSpec, order: Order) -> Manifest | None:
    """The engine that :func:`build` would make, if it is there and whole."""
    through_torch = order.via == "torch-tensorrt"
    version = via_torch_tensorrt.version() if through_torch else str(tensorrt_module(order.flavour).__version__)
    flavour = via_torch_tensorrt.FLAVOUR if through_torch else order.flavour
    profiles = shapes(spec, order.batch)[-1 if through_torch else 0:]
    sm = "+".join(f"sm{s}" for s in sorted(set(order.sm))) or _default_sm(order)
    for found in manifests(order.folder, spec.name, spec.profile):
        same = ((found.name, found.profile, found.precision, found.flavour, found.version, found.weights_sha256)
                == (spec.name, spec.profile, order.precision, flavour, version, spec.sha256))
        if same and found.profiles == profiles and found.sm == sm:
            try:
                digest = hashlib.sha256(found.engine.read_bytes()).hexdigest()
            except OSError:
                continue
            if digest == found.engine_sha256:
                return found
    return None


def _default_sm(order: Order) -> str:
    return "any" if order.flavour == "rtx" and order.via == "onnx" else f"sm{gpu_capability()}"


def _compiler(order: Order) -> None:
    """Raise what would be raised after the long part."""
    if order.via == "torch-tensorrt":
        via_torch_tensorrt.load()
    else:
        tensorrt_module(order.flavour)
        if order.flavour == "tensorrt":
            gpu_capability()


def onnx_parity(content: bytes, made: Prepared) -> dict[str, Any]:
    """The typed file on ONNX Runtime against the module in float32."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in made.spec.outputs]
    got = [dict(zip(names, session.run(names, feed), strict=True)) for feed in made.feeds]
    figures = tasks.compare(made.spec.name, made.feeds, made.reference, got)
    return {"runtime": f"onnxruntime {onnxruntime.__version__}", "against": f"torch {torch.__version__} float32",
            "figures": [{key: _number(value) for key, value in asdict(figure).items()} for figure in figures]}


def _number(value: Any) -> Any:
    """JSON has no infinity."""
    return value if not isinstance(value, float) or np.isfinite(value) else None


def _describe(made: Prepared, order: Order, plan: Plan, typed: typed_onnx.TypedOnnx, parity: dict[str, Any],
              flavour: str) -> dict[str, Any]:
    """The manifest, as engines/manifest.schema.json has it."""
    spec, chosen = made.spec, made.precision
    packages = ("rtface", "torch", "onnx", "onnxscript", "numpy")
    return {
        "format": FORMAT, "name": spec.name, "profile": spec.profile, "precision": order.precision,
        "flavour": flavour, "version": plan.version, "sm": plan.sm, "gpu": _gpu_name(),
        "basis": spec.basis, "untrained": not is_trained(spec),
        "weights_sha256": spec.sha256, "onnx_sha256": hashlib.sha256(typed.content).hexdigest(),
        "engine_sha256": hashlib.sha256(plan.content).hexdigest(), "engine_bytes": len(plan.content),
        "inputs": [asdict(tensor) for tensor in spec.inputs], "outputs": [asdict(tensor) for tensor in spec.outputs],
        "profiles": [{name: dict(zip(("min", "opt", "max"), sizes, strict=True)) for name, sizes in p.items()}
                     for p in plan.profiles],
        "layers": {"float16": chosen.half, "float32": [asdict(replace(layer, share=min(layer.share, 1e9)))
                                                       for layer in chosen.float32],
                   "share": chosen.share, "whole": _number(chosen.whole), "float16_weight_bytes": typed.half_weights,
                   "float32_weight_bytes": typed.float_weights},
        "parity": parity,
        "build": {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                  "seconds": round(plan.seconds, 3), "machine": platform.machine(),
                  "python": platform.python_version(), "log": list(plan.log),
                  "versions": {package: importlib.metadata.version(package) for package in packages}},
    }


def _gpu_name() -> str | None:
    """None without a GPU."""
    try:
        cuda = cuda_runtime()
        error, properties = cuda.cudaGetDeviceProperties(0)
    except (BackendError, RuntimeError):
        return None
    return bytes(properties.name).split(b"\0")[0].decode() if int(error) == 0 else None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small networks on one thread: as fast, and sums have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def clean(folder: Path, names: Sequence[str] = (), profile: str | None = None) -> list[Path]:
    """Delete engines with all that lies beside them, and what interrupted builds left; returns what is gone."""
    gone = []
    suffixes = (".json", ".engine", via_torch_tensorrt.SUFFIX, ".onnx", ".cache")
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name, _, rest = path.name.partition(".")
        if name not in networks.NETWORKS or path.suffix not in suffixes or not path.is_file():
            continue
        if (names and name not in names) or (profile and rest.partition(".")[0] != profile):
            continue
        path.unlink()
        gone.append(path)
    if not names and profile is None and (folder / TIMING_CACHE).is_file():
        (folder / TIMING_CACHE).unlink()
        gone.append(folder / TIMING_CACHE)
    return gone

