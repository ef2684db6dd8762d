"""INT8 forms of networks, calibrated on drawn faces, judged in the units of their task:

    python -m build_engines.quantize                        # every compact network, about half a minute each
    python -m build_engines.quantize segment --profile compact --calibration 48

Static quantisation by ONNX Runtime: symmetric int8 activations (range: least and greatest value seen) and weights
(per channel) around convolutions and matrix products, as QDQ nodes, which ONNX Runtime and OpenVINO run. Files go to
``int8`` in rtface's cache folder, for ``--precision int8``. A network whose answers move more than :data:`MOST_SHARE`
times as far as a float16 form's may is refused: its description says why, and it goes on running as it was.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from build_engines import samples, tasks
from rtface.errors import ModelFileError
from rtface.inference import EngineSpec, available_backends, read_spec, shipped_names, verify_weights
from rtface.inference.int8 import int8_folder
from rtface.inference.onnx import OnnxEngine
from rtface.inference.openvino import OpenVinoEngine
from rtface.inference.probe import try_backends
from rtface.io import write_atomic

CALIBRATION_SEED: Final = 101
"""Other people than :data:`build_engines.samples.SEED`'s, on whom the result is judged."""
CALIBRATION: Final = 32
"""Faces; MinMax ranges of these networks hardly move beyond."""
JUDGED: Final = 24
MOST_SHARE: Final = 5.0
"""Half a pixel or millimetre at worst, masks that agree to 97.5 %, pictures to 31 dB."""
QUANTISED: Final = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True)
class Made:
    """One network's INT8 form, whether it was kept or not."""

    spec: EngineSpec
    figures: tuple[tasks.Figure, ...]
    times_ms: dict[str, tuple[float, float]]
    """Per backend: before and after, batch 1, one thread, fastest call."""
    size: int
    """Bytes of the file."""
    most_share: float

    @property
    def refused(self) -> str | None:
        """Why it is not kept; None: it is."""
        worst = max(self.figures, key=lambda figure: figure.share)
        if worst.share <= self.most_share:
            return None
        return f"{worst.name} {worst.value:.4g}: {worst.share:.0f} times a float16 form's limit, at most " \
               f"{self.most_share:g} are kept"

    def line(self) -> str:
        """For people."""
        times = ", ".join(f"{name} {before:.2f} → {after:.2f} ms" for name, (before, after) in self.times_ms.items())
        figures = ", ".join(f"{figure.name} {figure.value:.4g}" for figure in self.figures)
        return f"{self.spec.name + '.' + self.spec.profile:<20}{'REFUSED' if self.refused else 'kept':<9}" \
               f"{self.size / 1e6:.1f} MB; {times}; {figures}"


def quantize(spec: EngineSpec, feeds: Sequence[samples.Feed]) -> bytes:
    """ONNX bytes of the INT8 form. feeds: calibration inputs, any batch sizes.

    ModelFileError when the network's file is damaged or ONNX Runtime cannot quantise it.
    """
    import onnxruntime as ort
    from onnxruntime import quantization as q

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, folded, made = (Path(folder) / name for name in ("plain.onnx", "folded.onnx", "int8.onnx"))
        plain.write_bytes(verify_weights(spec))
        options = ort.SessionOptions()  # folds batch normalisation into convolutions first: it would stay float
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        options.log_severity_level = 3
        try:
            ort.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
            q.quantize_static(str(folded), str(made), _reader(feeds), quant_format=q.QuantFormat.QDQ, per_channel=True,
                              activation_type=q.QuantType.QInt8, weight_type=q.QuantType.QInt8,
                              calibrate_method=q.CalibrationMethod.MinMax, op_types_to_quantize=list(QUANTISED),
                              extra_options={"ActivationSymmetric": True, "WeightSymmetric": True})
            return made.read_bytes()
        except Exception as exc:  # onnxruntime raises its own types, which share no base but Exception
            raise ModelFileError(f"{spec.path}: got {type(exc).__name__}: {exc}, expected a network that ONNX Runtime "
                                 f"{ort.__version__} can quantise; use --precision auto") from exc


def make(spec: EngineSpec, *, calibration: Sequence[samples.Feed], judged: Sequence[samples.Feed],
         most_share: float = MOST_SHARE, folder: Path | None = None) -> Made:
    """Quantise a network, judge it, and write it, or its refusal, to a folder (None: ``int8`` of the cache)."""
    folder = int8_folder() if folder is None else folder
    content = gzip.compress(quantize(spec, calibration), 6, mtime=0)
    with tempfile.TemporaryDirectory() as aside:
        form = _write(spec, content, Path(aside), {})
        with OnnxEngine(spec, threads=1) as before, OnnxEngine(form, threads=1) as after:
            figures = tasks.compare(spec.name, judged, *([engine.run(**feed) for feed in judged]
                                                         for engine in (before, after)))
        made = Made(spec, figures, _times(spec, form), len(content), most_share)
    facts = {"figures": [asdict(figure) for figure in figures], "times_ms": made.times_ms, "refused": made.refused}
    _write(spec, None if made.refused else content, folder, facts)
    return made


def _write(spec: EngineSpec, content: bytes | None, folder: Path, facts: dict[str, Any]) -> EngineSpec:
    """Network file (None: there is none) and json, each atomically."""
    assert spec.path is not None
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{spec.name}.{spec.profile}"
    described = json.loads(spec.path.with_name(f"{stem}.json").read_text(encoding="utf-8"))
    described |= {"precision": "int8", "source_sha256": spec.sha256, "metrics": {}, **facts,
                  "sha256": hashlib.sha256(content).hexdigest() if content is not None else ""}
    network, description = folder / f"{stem}.onnx.gz", folder / f"{stem}.json"
    if content is None:
        network.unlink(missing_ok=True)
    else:
        write_atomic(network, content)
    write_atomic(description, json.dumps(described, indent=1).encode())
    return spec if content is None else read_spec(spec.name, spec.profile, folder=folder)


def _times(before: EngineSpec, after: EngineSpec) -> dict[str, tuple[float, float]]:
    def opened(backend: str, spec: EngineSpec) -> Any:
        if backend == "onnx":
            return OnnxEngine(spec, threads=1)
        return OpenVinoEngine(spec, threads=1, precision="f32" if spec is before else "auto")

    backends = [name for name in ("onnx", "openvino") if name in available_backends()]
    first, second = (try_backends(backends, [spec], opened)["times_ms"] for spec in (before, after))
    return {name: (first[name], second[name]) for name in backends if name in first and name in second}


def _reader(feeds: Sequence[samples.Feed]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        """Faces one by one: a batch would only cost memory."""

        def __init__(self) -> None:
            self.rows = single(feeds)

        def get_next(self) -> samples.Feed | None:
            return next(self.rows, None)

    return Reader()


def single(feeds: Sequence[samples.Feed]) -> Iterator[samples.Feed]:
    """Feeds of batch 1 from feeds of any batch."""
    for feed in feeds:
        for row in range(len(next(iter(feed.values())))):
            yield {name: np.ascontiguousarray(array[row:row + 1]) for name, array in feed.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantiser warns through the root logger about what is done here already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; default: all of the profile")
    parser.add_argument("--profile", default="compact", choices=("compact", "paper"))
    parser.add_argument("--calibration", type=int, default=CALIBRATION, help="drawn faces to calibrate with")
    parser.add_argument("--most-share", type=float, default=MOST_SHARE,
                        help="keep a network that moves at most so many times as far as a float16 form may")
    options = parser.parse_args(arguments)
    names = options.names or [name for name, profile in shipped_names() if profile == options.profile]
    for name in names:
        spec = read_spec(name, options.profile)
        made = make(spec, calibration=samples.realistic(spec, options.calibration, CALIBRATION_SEED),
                    judged=samples.realistic(spec, JUDGED), most_share=options.most_share)
        print(made.line(), flush=True)
        if made.refused:
            print(f"{'':<20}{made.refused}", flush=True)
    print(f"in {int8_folder()}")


if __name__ == "__main__":
    main()
