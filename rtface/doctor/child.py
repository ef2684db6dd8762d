"""Looks that may crash or hang, each in a process of its own: ``python -m rtface.doctor.child LOOK``.

The last line of the output is a JSON object: version and whatever else the look found. A package that is not installed
gives ``{"missing": …}``; every other failure is the traceback's last line on stderr and exit code 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

Facts = dict[str, Any]


def kernels() -> Facts:
    """The compiled array kernels compute what their NumPy twin does."""
    import numpy as np

    from rtface import ops
    from rtface.ops import reference

    positions = np.array([[0, 0, 1], [8, 0, 1], [0, 8, 2]], np.float32)
    triangles = np.array([[0, 1, 2]], np.int32)
    same = np.array_equal(ops.rasterize(positions, triangles, 8, 8).depth,
                          reference.rasterize(positions, triangles, 8, 8).depth)
    if not same:
        raise RuntimeError("the compiled kernels and their NumPy twins disagree")
    return {"file": str(getattr(sys.modules.get("rtface._native"), "__file__", ""))}


def onnxruntime() -> Facts:
    """The default backend."""
    import onnxruntime

    return {"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}


def openvino() -> Facts:
    """The other CPU backend."""
    import openvino

    core: Any = openvino.Core()
    return {"version": str(openvino.__version__).partition("-")[0], "devices": core.available_devices,
            "precisions": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))}


def torch() -> Facts:
    """For training, and as a backend."""
    import torch

    found = torch.cuda.is_available()
    return {"version": torch.__version__, "cuda": torch.version.cuda if found else None,
            "gpus": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())] if found else []}


def cuda() -> Facts:
    """Arrays on the GPU."""
    import cupy

    return {"version": cupy.__version__, "runtime": cupy.cuda.runtime.runtimeGetVersion(),
            "driver": cupy.cuda.runtime.driverGetVersion(), "gpus": cupy.cuda.runtime.getDeviceCount()}


def tensorrt() -> Facts:
    """TensorRT itself."""
    import tensorrt

    return {"version": tensorrt.__version__}


def tensorrt_rtx() -> Facts:
    """TensorRT for RTX; its bindings have another name without their meta package."""
    try:
        import tensorrt_rtx as module
    except ModuleNotFoundError:
        import tensorrt_rtx_bindings as module
    return {"version": module.__version__}


def opengl() -> Facts:
    """A headless context, as overlays draw with."""
    from rtface.render.headless import headless_context

    with headless_context() as context:
        return {"renderer": context.info["GL_RENDERER"], "version": context.info["GL_VERSION"]}


def codecs() -> Facts:
    """What videos can be read and written."""
    from rtface.io.codecs import encoders, ffmpeg, readable_codecs

    return {"version": ffmpeg(), "decoders": readable_codecs(), "encoders": encoders()}


def networks() -> Facts:
    """The networks of the default run answer, on the backend that ``auto`` takes."""
    from rtface.config import PipelineConfig
    from rtface.inference import choose_backend, open_engine
    from rtface.inference.probe import example_inputs
    from rtface.pipeline import NETWORKS
    from rtface.stages.deocclude import NETWORKS as DEOCCLUSION

    choice = choose_backend()
    names = (*NETWORKS, *DEOCCLUSION[PipelineConfig().occlusion.recipe])
    for name in names:
        with open_engine(name, backend=choice.backend) as engine:  # type: ignore[arg-type]
            engine.spec.check_outputs(engine.run(**example_inputs(engine.spec)))
    return {"backend": choice.backend, "reason": choice.reason, "times_ms": dict(choice.times_ms),
            "networks": list(names)}


LOOKS: Final[dict[str, Callable[[], Facts]]] = {look.__name__: look for look in (
    kernels, onnxruntime, openvino, torch, cuda, tensorrt, tensorrt_rtx, opengl, codecs, networks)}


def main(arguments: list[str]) -> int:
    """Run one look."""
    try:
        facts = LOOKS[arguments[0]]()
    except ModuleNotFoundError as exc:
        facts = {"missing": exc.name or str(exc)}
    except Exception as exc:  # noqa: BLE001  whatever a foreign package raises is what the doctor reports
        print(f"{type(exc).__name__}: {' '.join(str(exc).split())}", file=sys.stderr)
        return 1
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
