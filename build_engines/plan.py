"""Strongly typed ONNX → a serialised TensorRT engine, by either flavour, without a line printed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rtface.errors import BackendError, InputError, ModelFileError
from rtface.inference.manifest import PORTABLE, Flavour, Shapes
from rtface.inference.nvidia import gpu_capability, last_errors, tensorrt_module, trt_log
from rtface.inference.spec import EngineSpec
from rtface.io.atomic import write_atomic

Batch = tuple[int, int, int]
DETECTOR_SIZES: Final = ((("coarse"), (64, 192, 256), (64, 256, 256)), (("fine"), (64, 512, 832), (64, 832, 832)))
"""Least, best and greatest height and width of the detector's two looks (rtface.config.DetectorConfig)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An engine before it is written."""

    content: bytes
    sm: str
    """Part of the file's name: ``any``, ``sm86`` or ``sm80+sm120``."""
    version: str
    profiles: tuple[Shapes, ...]
    seconds: float
    log: tuple[str, ...]
    """Warnings and what TensorRT says about memory and time."""


def parse_batch(text: str) -> Batch:
    """``1:4:8`` → least, best and greatest batch; a single number stands for all three. InputError otherwise."""
    try:
        numbers = [int(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not 1 <= numbers[0] <= numbers[1] <= numbers[2]:
        raise InputError(f"--batch: got {text!r}, expected least:best:greatest such as 1:4:8, or one number")
    return numbers[0], numbers[1], numbers[2]


def shapes(spec: EngineSpec, batch: Batch) -> tuple[Shapes, ...]:
    """Optimisation profiles: one for a free batch, two for the detector's two sizes."""
    if not any(size in ("H", "W") for tensor in spec.inputs for size in tensor.shape):
        return (_profile(spec, [{"N": count} for count in batch]),)
    return tuple(_profile(spec, [{"N": count, "H": h, "W": w} for count, h, w in zip(batch, high, wide, strict=True)])
                 for _, high, wide in DETECTOR_SIZES)


def _profile(spec: EngineSpec, sizes: Sequence[dict[str, int]]) -> Shapes:
    least, best, greatest = sizes
    return {t.name: tuple(tuple(s[x] if isinstance(x, str) else x for x in t.shape)  # type: ignore[misc]
                          for s in (least, best, greatest)) for t in spec.inputs}


def build_plan(content: bytes, spec: EngineSpec, *, flavour: Flavour, batch: Batch, sm: Sequence[int] = (),
               timing_cache: Path | None = None) -> Plan:
    """Compile a typed ONNX file. sm: compute capabilities (86 for 8.6) for rtx; tensorrt builds for the GPU it is on.

    BackendError when the flavour is not installed, needs a GPU that is not there, or fails; InputError on a
    capability that it does not build for. timing_cache: file that is read and written (tensorrt only).
    """
    trt, log = tensorrt_module(flavour), trt_log(flavour)
    if flavour == "tensorrt":
        capability = gpu_capability()
        if sm and tuple(sm) != (capability,):
            raise InputError(f"--sm: got {sorted(sm)}, expected {capability}: tensorrt builds for the GPU it runs on; "
                             f"leave --sm out, or use --flavour rtx")
        name = f"sm{capability}"
    else:
        name = "+".join(f"sm{number}" for number in sorted(set(sm))) or PORTABLE
    started = time.perf_counter()
    with log.collect() as lines:
        builder = trt.Builder(log.logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, log.logger)
        if not parser.parse(content):
            found = (parser.get_error(k) for k in range(parser.num_errors))
            errors = "; ".join(f"{e.node_operator()} {e.node_name()}: {e.desc()}" for e in found)
            raise ModelFileError(f"{spec.name}.{spec.profile}: got a network that {flavour} {trt.__version__} cannot "
                                 f"read ({errors or last_errors(lines)}), expected supported layers only")
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # it would round float32 layers to float16's precision
        profiles = shapes(spec, batch)
        for profile in profiles:
            _add_profile(builder, config, profile, lines)
        _set_targets(trt, config, sm if flavour == "rtx" else ())
        cache = _timing_cache(config, timing_cache) if flavour == "tensorrt" else None
        built = builder.build_serialized_network(network, config)
        if built is None:
            raise BackendError(f"{spec.name}.{spec.profile}: {flavour} {trt.__version__} could not build the engine: "
                               f"{last_errors(lines)}")
        if cache is not None and timing_cache is not None:
            write_atomic(timing_cache, bytes(config.get_timing_cache().serialize()))
        seconds = time.perf_counter() - started
        return Plan(bytes(built), name, str(trt.__version__), profiles, seconds, tuple(lines))


def _add_profile(builder: Any, config: Any, profile: Shapes, lines: Sequence[str]) -> None:
    made = builder.create_optimization_profile()
    for name, (least, best, greatest) in profile.items():
        made.set_shape(name, least, best, greatest)
    if config.add_optimization_profile(made) < 0:
        raise BackendError(f"optimisation profile {profile}: TensorRT does not take it: {last_errors(lines)}")


def _set_targets(trt: Any, config: Any, sm: Sequence[int]) -> None:
    if not sm:
        return
    known = {int(name[2:]): value for name, value in trt.ComputeCapability.__members__.items()
             if name.startswith("SM")}
    if unknown := sorted(set(sm) - known.keys()):
        raise InputError(f"--sm: got {', '.join(str(s) for s in unknown)}, expected some of "
                         f"{', '.join(str(s) for s in sorted(known))} (75 for compute capability 7.5)")
    config.num_compute_capabilities = len(set(sm))
    for index, number in enumerate(sorted(set(sm))):
        config.set_compute_capability(known[number], index)


def _timing_cache(config: Any, path: Path | None) -> Any:
    """Measured kernels of earlier builds on this GPU; TensorRT passes over a foreign file."""
    content = path.read_bytes() if path is not None and path.is_file() else b""
    cache = config.create_timing_cache(content)
    config.set_timing_cache(cache, ignore_mismatch=False)
    return cache

