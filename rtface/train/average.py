"""Average the weights of checkpoints that one training grew out of another.

    python -m rtface.train.average NAME A.pt [B.pt ...] --export FOLDER [--profile compact] [--identity 0.7]

NAME: a trainer of rtface.train; one checkpoint alone is exported as it is. The mean of a network before and after a
phase of training keeps more of both than either alone (stochastic weight averaging, Izmailov et al., UAI 2018);
checkpoints of unrelated runs have no meaningful mean. All but the last may also be exported .onnx.gz files, such as the
shipped one that a run began with (--init). The json's phases are those of the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor

from rtface.contours import PARSING
from rtface.errors import ModelFileError
from rtface.morphable import MorphableModel
from rtface.train import common
from rtface.types import IDENTITY_SIZE

NAMES: Final = ("detector", "landmarks", "regressor", "segment", "parse", "contour", "complete")


def mean_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of floating-point entries; counters are the last one's. ModelFileError where names or shapes differ."""
    first = states[0]
    for number, state in enumerate(states[1:], 2):
        wrong = sorted(name for name in first.keys() | state.keys()
                       if name not in first or name not in state or first[name].shape != state[name].shape)
        if wrong:
            raise ModelFileError(f"checkpoint {number}: got other tensors than the first ({', '.join(wrong[:3])}), "
                                 "expected checkpoints of one network")
    out = {}
    for name, value in states[-1].items():
        if value.dtype.is_floating_point:
            total = sum((state[name].double() for state in states[1:]), first[name].double())
            out[name] = (total / len(states)).to(value.dtype)
        else:
            out[name] = value.clone()
    return out


def states_of(paths: Sequence[Path]) -> list[Mapping[str, Tensor]]:
    """Weights of checkpoints and of exported files; the last one is a checkpoint. ModelFileError if it is not."""
    if paths[-1].name.endswith(".onnx.gz"):
        raise ModelFileError(f"{paths[-1]}: got an exported file, expected a checkpoint (.pt) as the last one; its "
                             f"phases are those of the average")
    last = common.load_checkpoint(paths[-1])["ema"]
    return [*(_exported_state(path, last) if path.name.endswith(".onnx.gz") else common.load_checkpoint(path)["ema"]
              for path in paths[:-1]), last]


def _exported_state(path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An exported file's weights by the names of a checkpoint, which have a prefix there."""
    from build_engines.onnx_export import read_model
    stored = {t.name: numpy_helper.to_array(t) for t in read_model(path).graph.initializer}
    names = [name for name, value in like.items() if value.dtype.is_floating_point]
    for prefix in {other.removesuffix(names[0]) for other in stored if other.endswith(names[0])}:
        if all(prefix + name in stored for name in names):
            return {name: torch.from_numpy(np.array(stored[prefix + name], np.float32)) if name in names else value
                    for name, value in like.items()}
    raise ModelFileError(f"{path}: got weights of other names than the last checkpoint's, expected one network; give "
                         f"files of one network and profile")


def training_of(paths: Sequence[Path], name: str) -> dict[str, Any]:
    """What the json says about the training of an average."""
    meta = json.loads(common.load_checkpoint(paths[-1])["meta"])
    phases = [*meta.get("phases", []), *([meta["phase"]] if "phase" in meta else [])]
    if phases and len(paths) > 1:
        phases[-1]["note"] = f"the weights are the mean of {len(paths)} checkpoints, this phase's end the last of them"
    return {"command": f"python -m rtface.train.{name}; python -m rtface.train.average", "phases": phases,
            "samples_seen": sum(int(p.get("samples_seen", 0)) for p in phases)}


def main(arguments: list[str] | None = None) -> None:
    """Parse, average, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--export", type=Path, required=True, help="folder for NAME.PROFILE.onnx.gz and .json")
    parser.add_argument("--profile", default="compact", choices=("compact", "paper"))
    parser.add_argument("--identity", type=float, default=1.0, metavar="SHARE",
                        help="regressor: how far identities go from the mean face, as a share of what was learned")
    options = parser.parse_args(arguments)
    if options.identity != 1 and options.name != "regressor":
        parser.error(f"--identity: got {options.name}, expected regressor, the network that says who somebody is")
    from build_engines import onnx_export
    from rtface.nets.complete import CompletionNetConfig
    from rtface.nets.contour import ContourNetConfig
    from rtface.nets.detector import DetectorNetConfig
    from rtface.nets.landmarks import LandmarkNetConfig
    from rtface.nets.regressor import RegressorConfig
    from rtface.nets.segment import SegmentNetConfig
    state = mean_weights(states_of(options.checkpoints))
    training = training_of(options.checkpoints, options.name)
    if options.identity != 1:
        for name in ("head.weight", "head.bias"):
            state[name][:IDENTITY_SIZE] *= options.identity
        training["identity"] = options.identity
    options.export.mkdir(parents=True, exist_ok=True)
    config, write = {"detector": (DetectorNetConfig, onnx_export.export_detector),
                     "landmarks": (LandmarkNetConfig, onnx_export.export_landmarks),
                     "regressor": (RegressorConfig, onnx_export.export_regressor),
                     "segment": (SegmentNetConfig, onnx_export.export_segment),
                     "parse": (SegmentNetConfig, onnx_export.export_segment),
                     "contour": (ContourNetConfig, onnx_export.export_contour),
                     "complete": (CompletionNetConfig, onnx_export.export_complete)}[options.name]
    chosen, more = cast(Any, config).profile(options.profile), {}
    if options.name == "regressor":
        more = {"basis": MorphableModel.load(level=0).basis_id}
    elif options.name == "parse":
        chosen, more = replace(chosen, classes=len(PARSING)), {"name": "parse"}
    path = cast(Any, write)(chosen, state, options.export, profile=options.profile, training=training, **more)
    print(path)


if __name__ == "__main__":
    main()
