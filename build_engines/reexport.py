"""Weight files written anew from themselves, after a change of how networks are exported:

    python -m build_engines.reexport segment parse --out rtface/weights

The weights stay the same; recipe and metrics of the json are kept. The new file must answer like the old one on drawn
faces, or nothing is written.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import nn

from build_engines import samples
from build_engines.networks import load_module, network
from rtface.errors import ModelFileError
from rtface.inference import EngineSpec, read_spec
from rtface.inference.onnx import OnnxEngine
from rtface.io import write_atomic

TOLERANCE: Final = 1e-4
"""Of an output's largest value; the order of sums may change."""


def reexport(spec: EngineSpec, folder: Path) -> Path:
    """Write NAME.PROFILE.onnx.gz and .json into ``folder``, which may be the one that they come from.

    ModelFileError when the old file is damaged or the new one answers differently; nothing is written then.
    """
    assert spec.path is not None
    entry, module = network(spec.name), load_module(spec)
    net: Any = module if entry.view is None else module.net
    assert isinstance(net, nn.Module)
    extra = {"basis": spec.basis} if spec.basis else {}
    with tempfile.TemporaryDirectory() as aside:
        path = entry.write(net.config, net.state_dict(), Path(aside), profile=spec.profile, training=spec.training,
                           **extra)
        made = read_spec(spec.name, spec.profile, folder=Path(aside))
        _compare(spec, made)
        stem = f"{spec.name}.{spec.profile}.json"
        old, new = (json.loads((where / stem).read_text(encoding="utf-8")) for where in (spec.path.parent, Path(aside)))
        described = old | {key: new[key] for key in ("inputs", "outputs", "sha256")}
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / path.name
        shutil.copyfile(path, target.with_suffix(".tmp"))
        target.with_suffix(".tmp").replace(target)
        write_atomic(folder / stem, (json.dumps(described, indent=1) + "\n").encode())
    return target


def _compare(old: EngineSpec, new: EngineSpec) -> None:
    with OnnxEngine(old, threads=1) as before, OnnxEngine(new, threads=1) as after:
        for feed in samples.realistic(old):
            expected, got = before.run(**feed), after.run(**feed)
            for name, value in expected.items():
                far = float(np.abs(got[name] - value).max() / max(np.abs(value).max(), 1e-6))
                if not far <= TOLERANCE:
                    raise ModelFileError(f"{old.path}: got {name} that differs by {far:.2g} of its largest value after "
                                         f"exporting again, expected at most {TOLERANCE:g}; the old file is kept")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="networks")
    parser.add_argument("--profile", default="compact", choices=("compact", "paper"))
    parser.add_argument("--weights", type=Path, help="folder that they come from; default: the shipped ones")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    for name in options.names:
        path = reexport(read_spec(name, options.profile, folder=options.weights), options.out)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
